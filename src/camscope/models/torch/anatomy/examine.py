"""Getting to know a model from one forward on one image: its layers, their grids, and how its output is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from camscope.errors import LayerError
from camscope.models.layer import Layer, without_grid
from camscope.models.observing import is_dense
from camscope.models.other_tokens import may_have_others
from camscope.models.torch.anatomy.behind_pooling import head_modules
from camscope.models.torch.anatomy.ending import Found, find_classifier, find_ending
from camscope.models.torch.anatomy.layers import layers_of
from camscope.models.torch.anatomy.rows import Apart, Together, met, rows_of, still_in
from camscope.models.torch.anatomy.trace import Forward, Trace, tracing
from camscope.models.torch.anatomy.whole_call import Call
from camscope.models.torch.hooks.modules import first_tensor


@dataclass(frozen=True)
class Anatomy:
    """What one forward showed.

    Attributes:
        layers: those with a grid, in the order they finish.
        shapes: the output shape of every module that was called, for messages.
        unchanged: the modules whose output was the same for an altered input, for messages.
        of_complex: the modules that put out complex numbers, for messages.
        scores: the modules that put out what the classifier does, or an activation of it.
        classifier: name of the last linear layer (or 1×1 convolution) with as many outputs as the model.
        head: names of the modules from what is pooled to the logits: mostly the classifier alone. Empty if there is
            none.
        ending: how the model's output is made.
        dense: whether the outputs are scores of every position, `batch class *space`.
        calls: how often each module was called, for messages.
    """

    layers: tuple[Layer, ...]
    shapes: dict[str, tuple[int, ...]]
    unchanged: frozenset[str]
    of_complex: frozenset[str]
    scores: frozenset[str]
    classifier: str | None
    head: tuple[str, ...]
    ending: Found
    dense: bool = False
    calls: Mapping[str, int] = field(default_factory=dict)

    def called_again(self, names: Iterable[str]) -> str:
        """What to say of modules without a grid that one forward calls several times; empty if it calls none so.

        Args:
            names: of these modules.
        """
        name = next((name for name in names if self.calls.get(name, 1) > 1), None)
        if name is None:
            return ""
        return (
            f" The model calls {name!r} {self.calls[name]} times, and its last call is the one that counts: if the "
            "model makes a flipped or cut copy of its input by itself, as test-time augmentation does, explain the "
            "model inside of that."
        )

    def within(self, parts: Sequence[str]) -> Anatomy:
        """Only the layers of some parts of the model."""
        starts = tuple(f"{part}." for part in parts)
        inside = tuple(layer for layer in self.layers if f"{layer.name}.".startswith(starts))
        return replace(self, layers=inside)

    def with_more_of(self, other: Anatomy) -> Anatomy:
        """With the layers that another image showed and this one did not: it took another way, or this did nothing.

        Args:
            other: what that image showed.
        """
        shown = self.shapes.keys() - self.unchanged
        layers, new = list(self.layers), {layer.name for layer in other.layers} - shown
        new -= {layer.name for layer in layers}
        place = 0
        for layer in other.layers:  # each behind the one that ran before it
            names = [one.name for one in layers]
            if layer.name in new:
                layers.insert(place, layer)
                place += 1
            elif layer.name in names:
                place = max(place, names.index(layer.name) + 1)
        here, there = self.unchanged, other.unchanged
        return replace(
            self,
            layers=tuple(layers),
            shapes=other.shapes | self.shapes,
            unchanged=(here - (other.shapes.keys() - there)) | (there - self.shapes.keys()),
            of_complex=self.of_complex | other.of_complex,
            scores=self.scores | other.scores,
        )

    def layer(self, name: str) -> Layer:
        """The layer with that name, of those with a grid.

        Raises:
            LayerError: if it was not called, or has no grid; the message says its shape and where a grid is.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        if name not in self.shapes:
            raise LayerError(
                f"This model's forward does not call the layer {name!r} for any image that was tried (up to eight of a "
                "batch). If the model's own code decides by the image what runs, give one for which it does."
            )
        if name in self.of_complex:
            real = [layer.name for layer in self.layers if layer.eligible]
            raise LayerError(
                f"The layer {name!r} puts out complex numbers, and maps are made of real ones. Choose one behind it "
                f"that puts out their size or real part{f', as {real[-1]!r} may' if real else ''}."
            )
        raise without_grid(
            name,
            self.shapes[name],
            self.layers,
            unchanged=name in self.unchanged,
            more=self.called_again([name]),
        )


def examine(model: nn.Module, forward: Forward, image: torch.Tensor, call: Call | None = None) -> Anatomy:
    """Run an image and copies with an altered patch, and see what every module puts out.

    Call it inside `explaining(model)`.

    Args:
        model: an unwrapped module.
        forward: runs the model and selects its logits.
        image: a batch of one.
        call: the whole call for that image, where the model takes more.
    """
    batch = rows_of(image)
    with torch.no_grad():
        trace, logits = _traced(model, forward, batch)
        layers, apart = layers_of(model, trace, image), isinstance(trace.rows, Apart)
        others = call.answers(model, layers, apart=apart) if call is not None else {}
        have_others = may_have_others(trace.shapes.values(), [layer.grid for layer in layers])
        still = still_in(model, forward, image, apart=apart) if have_others else {}
    tensor = first_tensor(logits)
    classifier = find_classifier(trace.outputs, tensor)
    return Anatomy(
        layers=layers_of(model, trace, image, others, still) if others or still else layers,
        shapes=trace.shapes,
        unchanged=trace.unchanged,
        of_complex=frozenset(trace.of_complex),
        scores=trace.following(classifier),
        classifier=classifier,
        head=head_modules(trace.outputs, tensor, classifier),
        ending=Found() if tensor is None else find_ending(model, forward, image, trace, tensor),
        dense=tensor is not None and is_dense(tensor, image.expand(len(tensor), *image.shape[1:])),
        calls=trace.calls,
    )


def _traced(model: nn.Module, forward: Forward, rows: torch.Tensor) -> tuple[Trace, torch.Tensor]:
    """A forward of an image and its altered copies, watched; and the logits.

    A model that does not take them in one batch (its batch axis was fixed at 1 when it was exported, say) is run on
    each alone. What it says of a single image is the model's own error.
    """
    try:
        together = Together(len(rows))
        with tracing(model, together) as trace:
            logits = forward(rows)
        if spare := together.to_spare:
            with_spare = torch.cat([rows, rows[:1].expand(spare, *rows.shape[1:])])
            with tracing(model, Together(len(rows), spare)) as trace:
                logits = forward(with_spare)
        if _has_rows(logits, len(rows) + spare):
            return trace, logits
    except Exception:
        forward(
            rows[:1]
        )  # where it is not the number of rows that the model does not take, it says so of one image
    image, *altered = (rows[i : i + 1] for i in range(len(rows)))
    with tracing(model, Apart([met(model, forward, copy) for copy in altered])) as trace:
        return trace, forward(image)


def _has_rows(logits: Any, count: int) -> bool:
    """Whether there are so many rows of scores; a model that fixes its batch axis may take them for one image."""
    tensor = first_tensor(logits)
    return tensor is not None and tensor.ndim > 0 and tensor.shape[0] == count
