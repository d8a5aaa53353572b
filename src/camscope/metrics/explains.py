"""What metrics ask of an explainer: that it explains, and says what its model makes of altered inputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from camscope.evidence import ModelEvidence
from camscope.inputs import Inputs
from camscope.results import Explanation
from camscope.targets import TargetsLike


@runtime_checkable
class Explains(Protocol):
    """An explainer of one model, such as `camscope.Explainer`, where each argument is said."""

    def __call__(
        self,
        inputs: Any,
        *,
        methods: Any = None,
        targets: TargetsLike = None,
        layers: Any = None,
        seed: int = 0,
    ) -> Explanation:
        """Explain a batch."""
        ...

    def prepare(self, inputs: Any) -> Inputs:
        """Read and prepare inputs once, to be explained often."""
        ...

    def weighted_layers(self, inputs: Any) -> Sequence[str]:
        """The layers that have weights, in the order they run; the last is the head."""
        ...

    def randomised(
        self,
        inputs: Any,
        *,
        seed: int = 0,
        head_only: bool = False,
        layers: str | Sequence[str] | None = None,
    ) -> Explains:
        """The same of a copy whose weights are drawn anew.

        Args:
            inputs: the batch that statistics of norms are of.
            seed: of the draws.
            head_only: draw the weights of the last weighted layer alone.
            layers: draw those of these layers alone.
        """
        ...

    def altering(self, inputs: Any, *, targets: TargetsLike = None) -> AbstractContextManager[ModelEvidence]:
        """Ask the model what it says of altered copies of a batch."""
        ...
