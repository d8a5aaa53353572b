"""What the planner asks of a model, whatever its framework.

`tests/conformance` holds every adapter to it, in numbers: a framework is added to its `cases.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, runtime_checkable

from camscope.evidence import Evidence, ModelEvidence, Need
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.outputs import Outputs
from camscope.targets import Targets

LayerNeeds: TypeAlias = Mapping[Layer, frozenset[Need]]
"""What is wanted at each layer."""


@runtime_checkable
class Observation(Protocol):
    """One forward of one batch, held as long as evidence is wanted from it."""

    @property
    def outputs(self) -> Outputs:
        """The model's outputs for the batch."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the maps should know about how this model is read."""
        ...

    def evidence(
        self, targets: Targets, needs: LayerNeeds, seed: int
    ) -> Iterator[tuple[str, slice, Evidence]]:
        """Evidence layer by layer and for a few targets at a time: the layer, which targets, what was seen.

        At a layer with `SUFFIX`, `MASKED` or another need of the whole model, `Evidence.model` is there too, with the
        responses to the batch itself. Re-runs are good as long as the observation is held.

        Args:
            targets: of the batch.
            needs: at each layer, among those the observation was made for.
            seed: handed on in the evidence.
        """
        ...

    def model_evidence(
        self, targets: Targets, needs: frozenset[Need], seed: int
    ) -> Iterator[tuple[slice, ModelEvidence]]:
        """Evidence of the model as a whole, for a few targets at a time."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """A model of some framework."""

    @property
    def offers(self) -> frozenset[Need]:
        """The needs this framework can meet."""
        ...

    def is_tensor(self, value: Any) -> bool:
        """Whether a value is a tensor of this framework, already preprocessed, and no photo.

        A NumPy array `height width [channel]`, of bytes or a batch of such, is a photo for everyone.
        """
        ...

    def batch(self, given: Batch) -> Batch:
        """The inputs as the model wants them: on its device, in its precision. Refuses what is not finite."""
        ...

    def with_captions(self, batch: Batch, texts: Sequence[str]) -> Batch:
        """The call with captions, for a model whose classes they are."""
        ...

    def layers(self, batch: Batch) -> Sequence[Layer]:
        """All layers with a grid, in the order they run. Their shapes have a batch axis of 1."""
        ...

    def choose(self, batch: Batch) -> Sequence[Layer]:
        """The automatic target layer, then the runners-up."""
        ...

    def stages(self, batch: Batch) -> Sequence[Layer]:
        """The last layer of each resolution, the deepest being the automatic choice."""
        ...

    def fpn_levels(self, batch: Batch) -> Sequence[Layer]:
        """The levels of a detector's pyramid by number; none of any other model."""
        ...

    def layer(self, batch: Batch, layer: Any) -> Layer:
        """The layer with this name (or this module), as it is for inputs of this size.

        Raises:
            LayerError: if there is none, naming the nearest; or it has no grid, naming one that has.
        """
        ...

    def reaches(self, batch: Batch, layers: Sequence[Layer]) -> Sequence[bool]:
        """Whether each layer's positions can reach the score at all, for any class."""
        ...

    def check(self, batch: Batch, needs: frozenset[Need]) -> None:
        """Refuse what this model cannot give on such an input, before any work on the batch."""
        ...

    def observe(
        self, batch: Batch, needs: LayerNeeds, *, libragrad: bool = False
    ) -> AbstractContextManager[Observation]:
        """Run the model once on the batch, keeping at each layer what is wanted there.

        Afterwards the model is as it came, whatever happened in between.

        Args:
            batch: the inputs.
            needs: of all methods at each target layer, of those that are offered only.
            libragrad: let gradients flow by LibraGrad's rules; only where `LIBRAGRAD` is offered.

        Raises:
            ModelError: if the model's output is not finite.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """What the model is, for the provenance: class, framework, precision, weights digest."""
        ...
