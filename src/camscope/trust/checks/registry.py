"""What a further test is: a function from what was explained to what is said of each map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from camscope.errors import InputError, nearest
from camscope.metrics.explains import Explains
from camscope.results import Explanation
from camscope.targets import TargetsLike
from camscope.trust.run_cost import Cost
from camscope.trust.verdict import Check, Interval

FIDELITY = "fidelity"
"""The word for the test that the verdict is made of."""

Place: TypeAlias = tuple[int, str, str, int]
"""A map of an explanation: the numbers of its image and its target around its method and its layer's names: image,
method, layer, target."""


@dataclass(frozen=True, eq=False)
class Asked:
    """What further tests are made of.

    Attributes:
        explainer: of the model.
        inputs: as they were prepared.
        explanation: the maps that are judged.
        methods: as the user gave them.
        layers: as the user gave them.
        targets: as the user gave them.
        top_two: the maps of the top class and of the runner-up by the same methods at the same layers, if the model has
            two classes.
        seed: of random draws.
    """

    explainer: Explains
    inputs: Any
    explanation: Explanation
    methods: Any
    layers: Any
    targets: TargetsLike
    top_two: Explanation | None
    seed: int


_ALL = "all"

Testing: TypeAlias = Callable[[Asked], Mapping[Place, Check]]
"""A further test: what it says of maps; of those that it leaves out it says nothing."""

Costing: TypeAlias = Callable[[Asked], Cost]
"""What a further test is going to ask of the model, told before it is run."""


class Further(NamedTuple):
    """A further test.

    Attributes:
        run: says what it finds.
        cost: tells what it asks of the model.
    """

    run: Testing
    cost: Costing


_CHECKS: dict[str, Further] = {}


def check(name: str, *, cost: Costing) -> Callable[[Testing], Testing]:
    """Register a further test.

    Args:
        name: the word that asks for it.
        cost: what it is going to ask of the model, exactly; it is told before a long run.
    """

    def registered(testing: Testing) -> Testing:
        _CHECKS[name] = Further(testing, cost)
        return testing

    return registered


def untold(asked: Asked, name: str, why: str) -> dict[Place, Check]:
    """What a test says of all maps where it can say nothing.

    Args:
        asked: the maps.
        name: of the test.
        why: it cannot.
    """
    nan = float("nan")
    said = Check(name, Interval(nan, nan, nan), None, why)
    e = asked.explanation
    return {
        (image, *key, target): said
        for key in e.raw
        for image, targets in enumerate(e.targets)
        for target in range(len(targets))
    }


def list_checks() -> tuple[str, ...]:
    """The words that ask for a test, fidelity first."""
    return (FIDELITY, *_CHECKS)


def names_of_checks(given: str | Sequence[str]) -> tuple[str, ...]:
    """The tests that words stand for, each once; `all` is every one.

    Raises:
        InputError: for a name that there is not, or none at all.
    """
    names, known = [given] if isinstance(given, str) else list(given), list_checks()
    for name in names:
        if name not in (*known, _ALL):
            raise InputError(
                f"checks={name!r}: there is no such test.{nearest(str(name), known)} There are {', '.join(known)}, or "
                f"{_ALL}."
            )
    if not names:
        raise InputError(f"checks is empty. There are {', '.join(known)}, or {_ALL}.")
    return known if _ALL in names else tuple(dict.fromkeys(names))


def checks_named(names: str | Sequence[str]) -> dict[str, Further]:
    """The further tests that words stand for; fidelity is none of them, and may be among the words.

    Raises:
        InputError: for a name that there is not, or none at all.
    """
    return {name: _CHECKS[name] for name in names_of_checks(names) if name != FIDELITY}
