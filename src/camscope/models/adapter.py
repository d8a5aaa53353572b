"""What the planner asks of a model, whatever its framework.

`tests/conformance` holds every adapter to it, in numbers: a framework is added to its `cases.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool

from camscope.evidence import Evidence, ModelEvidence, Need
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.said_grid import SaidGrid
from camscope.outputs import Outputs
from camscope.targets import Targets

Forward: TypeAlias = Callable[..., Any]
"""A model's own forward."""

LayerNeeds: TypeAlias = Mapping[Layer, frozenset[Need]]
"""What is wanted at each layer."""


@runtime_checkable
class Observation(Protocol):
    """One forward of one batch, held as long as evidence is wanted from it.

    Arrays are of one library that speaks the Python array API, on one device. Numbers of half precision are widened
    to single precision at least.
    """

    @property
    def outputs(self) -> Outputs:
        """The model's outputs for the batch: `camscope.models.observing.OutputRules.outputs` makes them."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the maps should know about how this model is read, in sentences; often none.

        `camscope.models.observing.OutputRules.notes` says what there is to say of the outputs.
        """
        ...

    def evidence(
        self, targets: Targets, needs: LayerNeeds, seed: int
    ) -> Iterator[tuple[str, slice, Evidence]]:
        """Evidence layer by layer, and for as many targets at a time as fit into memory.

        Args:
            targets: what is explained, `targets.scores(outputs)` their scores, `batch target`. A slice of them is
                `targets[columns]`.
            needs: the layers, of those that were observed; what is wanted at each, of what the adapter offers.
            seed: handed on to the evidence.

        Yields:
            layer: its name.
            columns: which of the targets the evidence is of. Together the slices of a layer cover all targets once.
            evidence: its `activations` are always there, in canonical shape `batch channel *space` (see
                `camscope.models.grid.Grid.canonical`). A field that nobody wants may be None. `head` is None where
                the part after the layer is not, verified on this batch, averaging over space and one linear layer.

        Raises:
            TargetError: if a target's score cannot be differentiated where that is needed.
            ModelError: if the model cannot give what is wanted.
        """
        ...

    def model_evidence(
        self, targets: Targets, needs: frozenset[Need], seed: int
    ) -> Iterator[tuple[slice, ModelEvidence]]:
        """Evidence of the model as a whole, for as many targets at a time as fit into memory.

        Args:
            targets: what is explained.
            needs: what is wanted, of what the adapter offers; needs of layers among them say nothing here.
            seed: handed on to the evidence.

        Yields:
            columns: which of the targets the evidence is of.
            evidence: `inputs` and `responses` are always there, everything else where it is wanted.

        Raises:
            TargetError, ModelError: as `evidence` does.
        """
        ...


@runtime_checkable
class Adapter(Protocol):
    """A model of some framework: what the planner asks of it.

    What is the same for every framework is written once: from logits to `Outputs`, and sums over targets
    (`camscope.models.observing`), where the grid is in a shape (`camscope.models.grid`), what the model is called with
    (`camscope.models.batch`). An adapter runs the model, and sees what its layers put out. It must leave the model as
    it came, whatever happens.

    A model whose layers give no map in some respect may answer trivially: see each method.
    """

    @property
    def offers(self) -> frozenset[Need]:
        """The needs this framework can meet. The planner asks for no others, and refuses methods that need them.

        `ACTIVATIONS` is the least. Without a way to differentiate, leave out all of `camscope.evidence.BACKWARD`.
        """
        ...

    def exclusive(self) -> AbstractContextManager[object]:
        """Have the model to this thread alone, for a whole call; other threads wait, and come in the order they asked.

        Inside it may be entered again, by whatever adapter of the same model. When the outermost ends, the model is as
        it was, also if an interrupt arrived. An adapter whose model is never changed, and which keeps nothing between
        calls, may let all threads in.
        """
        ...

    def is_tensor(self, value: Any) -> bool:
        """Whether a value is a tensor of this framework, already preprocessed, and no photo.

        A NumPy array `height width [channel]`, of bytes or a batch of such, is a photo for everyone.
        """
        ...

    def batch(self, given: Batch) -> Batch:
        """The inputs as the model wants them: on its device, in its precision.

        Args:
            given: tensors of this framework, or NumPy arrays made of photos; `given.x` is what maps are of.

        Raises:
            InputError: if `given.x` has no batch axis, holds no image, or holds NaN or infinity.
        """
        ...

    def has_captions(self, batch: Batch) -> bool:
        """Whether a call has its captions already, or brings texts of its own. Asked where `with_captions` is."""
        ...

    def with_captions(self, batch: Batch, texts: Sequence[str]) -> Batch:
        """The call with captions, for a model whose classes they are.

        Only ever called where the decoder is a `camscope.models.decoding.CaptionDecoder`; else it may raise.

        Args:
            batch: the inputs.
            texts: one caption for each class.

        Raises:
            InputError: if a caption cannot be encoded.
        """
        ...

    def layers(self, batch: Batch) -> Sequence[Layer]:
        """All layers with a grid, in the order they run, each name once; those that cannot be chosen too.

        Their shapes have a batch axis of 1.

        One image of the batch may stand for all: a batch of the same `signature` has the same layers.

        Raises:
            InputError: if the model does not run on such inputs.
        """
        ...

    def choose(self, batch: Batch) -> Sequence[Layer]:
        """The automatic target layer first, then a few runners-up (perhaps none); all of them in `layers`.

        The rule is: the deepest layer that still has a grid and whose positions reach the score. Where that cannot be
        tried (no gradients), the deepest with a grid.

        Raises:
            LayerError: if the model has no layer with a grid, saying what it has instead.
        """
        ...

    def stages(self, batch: Batch) -> Sequence[Layer]:
        """The last layer of each resolution in the order they run, the deepest being the automatic choice.

        What a fusion of several layers combines; the automatic choice alone means that there is nothing to combine.

        Raises:
            LayerError: as `choose` does.
        """
        ...

    def fpn_levels(self, batch: Batch) -> Sequence[Layer]:
        """The levels of a detector's feature pyramid, by number; empty for every model that has none.

        Raises:
            LayerError: if the finest level has no grid.
        """
        ...

    def backbone_stages(self, batch: Batch) -> Sequence[Layer]:
        """The layers of a detector's backbone that its pyramid is made from; empty for every model that has none.

        Raises:
            LayerError: if one of them has no grid.
        """
        ...

    def layer(self, batch: Batch, layer: Any, said: SaidGrid | None = None) -> Layer:
        """The layer with this name, as it is for inputs of this size.

        Args:
            batch: the inputs.
            layer: a name, as in `layers`; or the framework's own layer object, where it has such.
            said: its grid as the user says it (`camscope.models.said_grid.grid_as_said`), which is taken in place of
                the one that was found; the layer need not be among `layers` then.

        Raises:
            LayerError: if there is none (naming the nearest), or it has no grid (saying its shape), or not the one that
                was said.
        """
        ...

    def reaches(self, batch: Batch, layers: Sequence[Layer]) -> Sequence[bool]:
        """Whether each layer's positions can reach the score at all, for any class; in the order of the layers.

        A class token's attention may read nothing of what other tokens become: then their map is zero for every class,
        and the user is told to take another layer. Without gradients, True for all is a fair answer.

        Args:
            batch: the inputs.
            layers: of `layers`; perhaps none.
        """
        ...

    def check(self, batch: Batch, needs: frozenset[Need]) -> None:
        """Refuse what this model cannot give on such an input, before any work on the batch.

        May do nothing: then `observe` or the evidence raises the same errors, later.

        Args:
            batch: the inputs.
            needs: of all methods together, of what the adapter offers.

        Raises:
            ModelError: if a need cannot be met by this model, though the framework could: attention, where no token
                attends to others.
            InputError: if the model does not take these inputs.
        """
        ...

    def observe(
        self, batch: Batch, needs: LayerNeeds, *, libragrad: bool = False
    ) -> AbstractContextManager[Observation]:
        """Run the model once on the batch, keeping at each layer what is wanted there.

        Evidence is taken inside the context only. When it ends the model is as it was, whatever happened.

        Args:
            batch: the inputs.
            needs: of all methods at each target layer; empty if only the outputs or evidence of the model as a whole
                are wanted.
            libragrad: let gradients flow by LibraGrad's rules. Never True where `offers` has no `LIBRAGRAD`.

        Raises:
            ModelError: if the outputs are no class scores, or hold NaN or infinity.
        """
        ...

    def weighted_layers(self, batch: Batch) -> Sequence[str]:
        """The layers that have weights of their own, in the order they run; the last is the head.

        Raises:
            ModelError: if of such a model no copy with other weights can be made, saying why.
        """
        ...

    def redrawn(self, batch: Batch, seed: int, layers: Collection[str] | None = None) -> Adapter:
        """The adapter of a copy of the model whose weights are drawn anew; the model itself is left as it is.

        Every tensor is drawn by a generator of its own, so that what is drawn for one does not depend on which others
        are. The statistics that batch norms keep are those of the batch, where what changed reaches them.

        Args:
            batch: the inputs.
            seed: of the draws.
            layers: of `weighted_layers`, those whose weights are drawn; None for every weight there is.

        Raises:
            ModelError: if no such copy can be made, saying why.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """What the model is, for the provenance of its maps: values that JSON can hold.

        The keys, as far as the framework tells: `model` (its class), `framework` (with its version), `device`, `dtype`
        and `weights_sha256` (a digest of the weights, so that a map can be traced to them).
        """
        ...


@runtime_checkable
class EmbeddingAdapter(Adapter, Protocol):
    """An adapter that can put the mean embedding in place of tokens, where no token stands for nothing."""

    def embeds(self, batch: Batch) -> bool:
        """Whether it is known where the model looks the tokens of such a batch up."""
        ...

    def mean_embedding(
        self, batch: Batch, gone: Bool[np.ndarray, "batch token"]
    ) -> AbstractContextManager[None]:
        """Within this context the model sees the mean embedding in place of some tokens of this batch.

        Args:
            batch: the texts.
            gone: True where a token is left out.

        Raises:
            InputError: at its end, if the model may have seen these tokens all the same.
        """
        ...


@runtime_checkable
class UsersForward(Protocol):
    """A forward that the user has made, from which evidence can be taken as from one that an adapter makes."""

    @property
    def in_train_mode(self) -> bool:
        """Whether some part of the model was in train mode."""
        ...

    def observed(self) -> AbstractContextManager[Observation]:
        """What it showed. It may be asked for again as long as its graph is there.

        Raises:
            InputError: if it is no longer what the model does: its weights were changed, or its graph is gone.
        """
        ...


@runtime_checkable
class FollowingAdapter(Adapter, Protocol):
    """An adapter that can take evidence from forwards which the user makes, and need not run the model again."""

    def following(
        self, met: Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]
    ) -> AbstractContextManager[None]:
        """Within this context each forward that the user makes in this thread goes through `met`.

        Args:
            met: gets the model's own forward and the user's arguments; what it returns goes to the user.
        """
        ...

    def follow(self, batch: Batch, needs: LayerNeeds, run: Callable[[], Any]) -> tuple[Any, UsersForward]:
        """Make the user's own forward, as the model is, keeping what the needs ask for.

        Args:
            batch: its inputs.
            needs: at each target layer: of activations, gradients and a linear head.
            run: makes the forward.

        Returns:
            what the user gets, and the forward.
        """
        ...
