"""How a kind of model is called, and what it puts out means."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from camscope.arrays import Array
from camscope.errors import InputError, ModelError, nearest
from camscope.models.batch import Batch
from camscope.outputs import Predictions, Task


@runtime_checkable
class OutputDecoder(Protocol):
    """How one kind of model is called, and what it puts out means.

    A library has one for each kind of its models that is not called as `model(x)`, or does not return logits.
    """

    @property
    def task(self) -> Task | None:
        """What the logits mean; None if that is found from the model."""
        ...

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model.

        Args:
            model: as it was given, whatever wraps it taken off.
            batch: its arguments, already on its device.

        Returns:
            What the model returned, as it is.

        Raises:
            InputError: if the model does not take these arguments.
        """
        ...

    def logits(self, raw: Any) -> Array:
        """One score per class, `batch class`, of what the model returned; or at every position, `batch class *space`.

        They must be part of the graph that was built, if one was: gradients start here.

        Raises:
            ModelError: if there are none.
        """
        ...

    def predictions(self, raw: Any, batch: Batch) -> Predictions | None:
        """What a region, an instance or the like is found in; None where the logits are all there is."""
        ...


@runtime_checkable
class CaptionDecoder(OutputDecoder, Protocol):
    """Of a model whose classes are captions, which come with the call."""

    def has_captions(self, batch: Batch) -> bool:
        """Whether a call has its captions already, or brings texts of its own in their place."""
        ...

    def with_captions(self, model: Any, batch: Batch, texts: Sequence[str]) -> Batch:
        """The call with these captions, from which `call` makes one score for each.

        Args:
            model: whatever wraps it taken off.
            batch: the images.
            texts: the captions.

        Raises:
            InputError: if a caption cannot be encoded.
        """
        ...


@runtime_checkable
class LayerGuide(Protocol):
    """A decoder that knows where in the model to look, which a detector's scores alone do not tell."""

    def within(self, model: Any) -> Sequence[str]:
        """The names of the parts of the model whose deepest layer is the automatic choice."""
        ...

    def fpn_levels(self, model: Any) -> Sequence[str]:
        """The names of the levels of its feature pyramid, the finest first; none if it has no pyramid."""
        ...

    def stages(self, model: Any) -> Sequence[str]:
        """The names of the backbone's layers that the pyramid is made from, where a map is wanted too; none if not."""
        ...


@dataclass(frozen=True)
class CalledOtherwise:
    """A model's decoder, where the model is called in another way: through what wraps it, or by the user.

    Attributes:
        decoder: the model's own.
        run: runs the model on a batch.
    """

    decoder: OutputDecoder
    run: Callable[[Batch], Any]

    @property
    def task(self) -> Task | None:
        """As the decoder says."""
        return self.decoder.task

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model, in its own way."""
        return self.run(batch)

    def logits(self, raw: Any) -> Array:
        """As the decoder reads them."""
        return self.decoder.logits(raw)

    def predictions(self, raw: Any, batch: Batch) -> Predictions | None:
        """As the decoder reads them."""
        return self.decoder.predictions(raw, batch)


class LogitsDecoder:
    """A classifier or a segmenter: a tensor, the only one in a list, or the `logits` of what it returns.

    Args:
        output: where the logits are: a function of what the model returns, a key, attribute or position in it.
        task: what they mean.
    """

    def __init__(self, output: Any = None, task: Task | None = None) -> None:
        self._output = output
        self.task = task

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model.

        Raises:
            InputError: if its forward takes other inputs; the message names them.
        """
        try:
            return model(*batch.args, **batch.kwargs)
        except TypeError:
            _check_inputs(model, batch)
            raise

    def logits(self, raw: Any) -> Array:
        """One score per class."""
        found = self._selected(raw)
        if not hasattr(found, "shape"):
            raise ModelError(
                f"The model returns {_described(raw)}, not a tensor. Say where the logits are: Explainer(model, "
                "output=…), a key, a position, or a function such as lambda out: out[0]."
            )
        return found

    def predictions(self, raw: Any, batch: Batch) -> None:
        """Nothing but logits."""

    def _selected(self, raw: Any) -> Any:
        if callable(self._output):
            return self._output(raw)
        if self._output is not None:
            try:
                return picked(raw, self._output)
            except (KeyError, IndexError, AttributeError, TypeError) as error:
                raise ModelError(
                    f"output={self._output!r} is not in what the model returns, {_described(raw)}."
                ) from error
        if isinstance(raw, Mapping):
            return raw.get("logits", raw.get("out"))  # torchvision's segmenters: out, and aux for training
        if isinstance(raw, Sequence) and not hasattr(raw, "logits"):
            return _only_tensor(raw)
        return raw if hasattr(raw, "shape") else getattr(raw, "logits", None)


def _only_tensor(raw: Sequence[Any]) -> Any:
    """The first of several things if nothing else there could be scores, else None.

    Either it is alone, or it has one row of scores per image and none of the others is a tensor, as where hidden states
    come behind the logits.
    """
    tensors = [part for part in raw if hasattr(part, "shape")]
    if len(tensors) != 1 or tensors[0] is not raw[0]:
        return None
    return raw[0] if len(raw) == 1 or raw[0].ndim == 2 else None


def _check_inputs(model: Any, batch: Batch) -> None:
    """Refuse arguments that the model's forward does not take, or lacks, naming those that it takes."""
    takes = inspect.signature(getattr(model, "forward", model))
    try:
        takes.bind(*batch.args, **batch.kwargs)
    except TypeError as error:
        unknown = [name for name in batch.kwargs if name not in takes.parameters]
        hint = nearest(unknown[0], list(takes.parameters)) if unknown else ""
        raise InputError(
            f"The inputs ({', '.join([*map(str, range(len(batch.args))), *batch.kwargs])}) do not fit "
            f"{type(model).__name__}, whose forward takes {takes}: {error}.{hint} Several inputs are given as a "
            "dictionary by keyword."
        ) from error


def picked(raw: Any, name: Any) -> Any:
    """A part of what a model returns: by key, attribute or position.

    Args:
        raw: what it returned.
        name: a string is a key of a mapping, and an attribute of anything else; a number is a position.

    Raises:
        KeyError, IndexError, AttributeError, TypeError: if there is no such part.
    """
    if isinstance(name, str) and not isinstance(raw, Mapping):
        return getattr(raw, name)
    return raw[name]


def _described(raw: Any) -> str:
    """What a model returned, in words for an error: its class, and its keys or the shapes of its parts."""
    kind = type(raw).__name__
    if isinstance(raw, Mapping):
        return f"{kind} with keys {sorted(map(str, raw))}"
    if isinstance(raw, Sequence) and not isinstance(raw, str):
        parts = (tuple(part.shape) if hasattr(part, "shape") else type(part).__name__ for part in raw)
        return f"{kind} of {', '.join(map(str, parts))}"
    return kind
