"""What a framework must be able to do: run a model, run the part after a layer, and differentiate if it can."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped

from camscope.models.batch import Batch
from camscope.models.observing import Ending


@dataclass(frozen=True)
class Part:
    """A layer of the model, as its framework knows it before anything ran.

    Attributes:
        name: by which it is named everywhere; unique.
        kind: what it is, for tables: the class of a Keras layer or a JAX module, the operator of an ONNX node.
        outline: whether it is a stage, a block or a layer of its own, and not a part of one.
        keeps_axes: whether it is of a kind that keeps the axes of space as they are, as a convolution does. In doubt
            False: then its grid is found by the numbers alone.
        pools: whether it only pools, so that it is not chosen by itself.
    """

    name: str
    kind: str
    outline: bool = True
    keeps_axes: bool = False
    pools: bool = False


@dataclass(frozen=True)
class Run:
    """What one run of the model gave. All arrays are NumPy's.

    Attributes:
        raw: what the model returned, with NumPy arrays in place of its own.
        logits: its scores, `batch output`, or at every position in the model's own layout. Before a final softmax or
            sigmoid, where what goes into that is seen.
        ending: how the output was made of these.
        values: what each watched layer put out, in its own layout, in the order they did. Of a layer that is called
            several times, at its last call. Layers that put out no floating-point array are left out; of several arrays
            the first is taken.
    """

    raw: Any
    logits: Float[np.ndarray, "batch output *space"]
    ending: Ending = field(default_factory=Ending)
    values: Mapping[str, Shaped[np.ndarray, " ..."]] = field(default_factory=dict)


RunAfter: TypeAlias = Callable[[Shaped[np.ndarray, " ..."]], Run]
"""Runs the part of the model after a layer, given rows of what the layer puts out at its last call, in its own layout.
"""

PullBack: TypeAlias = Callable[
    [Float[np.ndarray, "batch output *space"]], Mapping[str, Float[np.ndarray, "batch ..."]]
]
"""From weights of the logits, in their own layout, to the gradient of Σ weights ⊙ logits by what each layer put out."""

INPUT = ""
"""Stands for the input that maps are of among the names of layers: what can be differentiated by it is too."""


@runtime_checkable
class ReadsHead(Protocol):
    """A runtime that knows a linear head which numbers do not tell, since the model rounds what goes into it."""

    def read_head(
        self, batch: Batch
    ) -> tuple[Float[np.ndarray, "output channel"], Float[np.ndarray, " output"]] | None:
        """The weights and biases of the linear layer that the logits come from; None if there is no such layer."""
        ...


@runtime_checkable
class ShowsAttention(Protocol):
    """A runtime that knows which layers put out the probabilities with which tokens attend to one another."""

    @property
    def attention_layers(self) -> Sequence[str]:
        """Their names, in the order they run; none if the model is no transformer.

        Each puts out `batch head query key`, or the same with the axis of heads merged into that of the batch.
        """
        ...


@runtime_checkable
class TakesPixels(Protocol):
    """A runtime of models whose input may be of whole numbers, as the bytes of photos are.

    Outside of the runtime they are real numbers like any others, so that they can be altered. Those that are not whole
    are rounded before the model sees them.
    """

    @property
    def pixels(self) -> tuple[int, int] | None:
        """The least and the greatest of such numbers; None if this model takes real ones."""
        ...


@runtime_checkable
class RunsBetween(Protocol):
    """A runtime that can run what lies between two layers alone. Without gradients that tells what reaches what."""

    def between(
        self, batch: Batch, layer: str, later: str, rows_along: tuple[int, int] = (0, 0)
    ) -> Callable[[Shaped[np.ndarray, " ..."]], Shaped[np.ndarray, " ..."]] | None:
        """From what a layer puts out to what a later one does; None if the later one does not depend on it.

        Args:
            batch: one image; what is made beside the layer is that of this image.
            layer: its name. Any number of rows of it may be given.
            later: the name of the other.
            rows_along: the axes along which the rows stand, of what the layer puts out and of what the later one does.
        """
        ...


@runtime_checkable
class Multiplies(Protocol):
    """A runtime that multiplies large matrices on its own threads: those of NumPy would be in their way afterwards."""

    def product(
        self, a: Float[np.ndarray, "row inner"], b: Float[np.ndarray, "inner column"]
    ) -> Float[np.ndarray, "row column"]:
        """The matrix product, in the precision of both."""
        ...


@runtime_checkable
class RedrawsWeights(Protocol):
    """A runtime that can make a copy of its model with weights drawn anew."""

    def weighted_layers(self, batch: Batch) -> Sequence[str]:
        """See `camscope.models.adapter.Adapter.weighted_layers`."""
        ...

    def redrawn(self, batch: Batch, seed: int, layers: Collection[str] | None) -> Runtime:
        """The runtime of the copy. See `camscope.models.adapter.Adapter.redrawn`."""
        ...


class Runtime(Protocol):
    """Runs one model. Whatever it does, the model is left as it came.

    Batches hold NumPy arrays: `batch.args` and `batch.kwargs` are what the model is called with, in its own layout. A
    runtime makes them arrays of its framework. Arrays with as many rows as the batch belong to its images.
    """

    @property
    def framework(self) -> str:
        """As people write it, for messages: `Keras`."""
        ...

    @property
    def differentiates(self) -> bool:
        """Whether `differentiated` can be used."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """The precision of numbers that the model takes."""
        ...

    @property
    def takes(self) -> str:
        """The input that the model takes, in words, for messages: `(batch, 224, 224, 3)`."""
        ...

    def exclusive(self) -> AbstractContextManager[object]:
        """See `camscope.models.adapter.Adapter.exclusive`."""
        ...

    def is_tensor(self, value: Any) -> bool:
        """Whether a value is an input of the model that is preprocessed already, and no photo.

        A tensor of the framework always is. A NumPy array is one if it is of real numbers and has as many axes as the
        model's input; any other is a photo. Token numbers are one if the model takes them. Where the number of axes is
        not known, an array of real numbers with a batch axis in front of channel and space is one.
        """
        ...

    def parts(self) -> Sequence[Part]:
        """All layers that can be named. It may leave out those that are only known from a run."""
        ...

    def name_of(self, layer: Any) -> str | None:
        """The name of one of the framework's own layer objects; None if it is none of this model's."""
        ...

    def run(self, batch: Batch, watched: Collection[str] | None = ()) -> Run:
        """Run the model.

        Args:
            batch: the inputs.
            watched: the layers whose output is kept; None keeps all.

        Raises:
            InputError: if the model does not run on such inputs, saying what it takes.
            ModelError: if what it returns holds no scores (as the decoder says).
        """
        ...

    def after(self, batch: Batch, layer: str, rows_along: int = 0) -> RunAfter:
        """The part of the model after a layer; what is made beside the layer is that of this batch.

        Args:
            batch: the inputs. The rows that are given later belong to its images, one each; any number of rows may be
                given if it has one image.
            layer: its name.
            rows_along: the axis of what it puts out along which the rows stand.
        """
        ...

    def differentiated(
        self, batch: Batch, layers: Collection[str]
    ) -> AbstractContextManager[tuple[Run, PullBack]]:
        """Run the model so that its logits can be differentiated by what layers put out at their last call.

        The graph starts at the first of the layers: what comes before it runs without one. The gradient by one layer
        counts all ways from it to the logits, also those through another of the layers.

        Args:
            batch: the inputs.
            layers: their names; `INPUT` for the input itself. They are watched too.

        Yields:
            run: as `run` gives it.
            pull_back: may be called any number of times inside of the context.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """See `camscope.models.adapter.Adapter.describe`."""
        ...
