"""An explainer that tells what it is asked: how many altered inputs are answered, and how many are explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from camscope.evidence import ModelEvidence, Responses, Variants
from camscope.inputs import Inputs
from camscope.metrics.explains import Explains
from camscope.results import Explanation
from camscope.targets import TargetsLike


@dataclass(frozen=True, eq=False)
class Counted:
    """An explainer, and who is told. See `camscope.metrics.explains.Explains` for what it does.

    Attributes:
        explainer: that is asked.
        advance: gets how many inputs were explained, or altered ones are run.
    """

    explainer: Explains
    advance: Callable[[int], None]

    def __call__(
        self,
        inputs: Any,
        *,
        methods: Any = None,
        targets: TargetsLike = None,
        layers: Any = None,
        seed: int = 0,
    ) -> Explanation:
        """Explain a batch, and count it."""
        e = self.explainer(inputs, methods=methods, targets=targets, layers=layers, seed=seed)
        self.advance(len(e))
        return e

    def prepare(self, inputs: Any) -> Inputs:
        """Read and prepare inputs."""
        return self.explainer.prepare(inputs)

    def weighted_layers(self, inputs: Any) -> Sequence[str]:
        """The layers that have weights."""
        return self.explainer.weighted_layers(inputs)

    def randomised(
        self,
        inputs: Any,
        *,
        seed: int = 0,
        head_only: bool = False,
        layers: str | Sequence[str] | None = None,
    ) -> Counted:
        """The same of a copy whose weights are drawn anew, which tells the same one."""
        other = self.explainer.randomised(inputs, seed=seed, head_only=head_only, layers=layers)
        return Counted(other, self.advance)

    @contextmanager
    def altering(self, inputs: Any, *, targets: TargetsLike = None) -> Iterator[ModelEvidence]:
        """Ask the model what it says of altered copies of a batch, and count these."""
        with self.explainer.altering(inputs, targets=targets) as seen:
            run = seen.masked
            assert run is not None

            def masked(image: int, count: int, variants: Variants) -> Responses:
                def told(some: Any) -> Any:
                    self.advance(len(some))
                    return variants(some)

                return run(image, count, told)

            yield dataclasses.replace(seen, masked=masked)
