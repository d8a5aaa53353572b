"""What the tests of some maps ask of the model, in numbers that are known before they are run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What one test asks of the model.

    Attributes:
        altered: how many altered inputs it is run on, a forward each.
        again: how many inputs are explained once more; each takes what the maps themselves took.
    """

    altered: int = 0
    again: int = 0


@dataclass(frozen=True)
class RunCost:
    """What all tests ask of the model, beside the maps themselves. As text it is told in words.

    Attributes:
        by_test: by the name of each test.
    """

    by_test: Mapping[str, Cost]

    @property
    def altered(self) -> int:
        """How many altered inputs the model is run on."""
        return sum(cost.altered for cost in self.by_test.values())

    @property
    def again(self) -> int:
        """How many inputs are explained once more."""
        return sum(cost.again for cost in self.by_test.values())

    @property
    def steps(self) -> int:
        """Both together: the steps of a bar."""
        return self.altered + self.again

    def __str__(self) -> str:
        altered = {name: cost.altered for name, cost in self.by_test.items() if cost.altered}
        again = {name: cost.again for name, cost in self.by_test.items() if cost.again}
        parts = [f"is run on {_counted(altered, 'altered input')}"] if altered else []
        parts += [f"explains {_counted(again, 'input')} once more"] if again else []
        return f"The model {' and '.join(parts)}" if parts else "The model is not run again"


def _counted(by_test: Mapping[str, int], noun: str) -> str:
    """Numbers with what they are for: `138 altered inputs (128 for fidelity, 10 for srg)`."""
    total = sum(by_test.values())
    each = ", ".join(f"{count:,} for {name}" for name, count in by_test.items())
    count = f"{total:,} {noun}{'' if total == 1 else 's'}"
    return f"{count} ({each})" if len(by_test) > 1 else f"{count} for {next(iter(by_test))}"
