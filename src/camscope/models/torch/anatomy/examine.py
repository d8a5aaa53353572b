"""Getting to know a model from one forward on one image: its layers, their grids, and how its output is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from camscope.errors import LayerError
from camscope.models.layer import Layer
from camscope.models.observing import is_dense
from camscope.models.torch.anatomy.ending import Found, find_classifier, find_ending
from camscope.models.torch.anatomy.layers import layers_of
from camscope.models.torch.anatomy.token_order import in_order
from camscope.models.torch.anatomy.trace import Forward, Trace, tracing
from camscope.models.torch.hooks.modules import first_tensor


@dataclass(frozen=True)
class Anatomy:
    """What one forward showed.

    Attributes:
        layers: those with a grid, in the order they finish.
        shapes: the output shape of every module that was called, for messages.
        classifier: name of the last linear layer (or 1×1 convolution) with as many outputs as the model.
        ending: how the model's output is made.
        dense: whether the outputs are scores of every position, `batch class *space`.
    """

    layers: tuple[Layer, ...]
    shapes: dict[str, tuple[int, ...]]
    classifier: str | None
    ending: Found
    dense: bool = False

    def within(self, part: str) -> Anatomy:
        """Only the layers of one part of the model."""
        inside = tuple(layer for layer in self.layers if f"{layer.name}.".startswith(f"{part}."))
        return replace(self, layers=inside)

    def layer(self, name: str) -> Layer:
        """The layer with that name, of those with a grid.

        Raises:
            LayerError: if it was not called, or has no grid; the message says its shape and where a grid is.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        if name not in self.shapes:
            raise LayerError(f"This model's forward does not call the layer {name!r}.")
        good = next((layer for layer in reversed(self.layers) if layer.eligible), None)
        hint = f" {good.name!r} has one: {good.grid.describe()}." if good else ""
        raise LayerError(
            f"The layer {name!r} has no spatial grid: its output has shape {self.shapes[name]} for one image.{hint}"
        )


def examine(model: nn.Module, forward: Forward, image: torch.Tensor) -> Anatomy:
    """Run one image and see what every module puts out. Call it inside `explaining(model)`.

    Args:
        model: an unwrapped module.
        forward: runs the model and selects its logits.
        image: a batch of one.
    """
    with tracing(model) as trace, torch.no_grad():
        logits = forward(image)
    tensor = first_tensor(logits)
    return Anatomy(
        layers=_in_order(model, forward, image, trace, layers_of(model, trace, image)),
        shapes=trace.shapes,
        classifier=find_classifier(trace.outputs, tensor),
        ending=Found() if tensor is None else find_ending(model, forward, image, trace, tensor),
        dense=tensor is not None and is_dense(tensor, image),
    )


def _in_order(
    model: nn.Module, forward: Forward, image: torch.Tensor, trace: Trace, layers: tuple[Layer, ...]
) -> tuple[Layer, ...]:
    """The layers without those whose tokens stand in another order than the patches of the image."""
    if trace.reordered_after is None or image.ndim == 2:
        return layers
    later = {name for output in trace.outputs[trace.reordered_after :] for name in output.names}
    tokens = [layer for layer in layers if layer.name in later and layer.grid.layout.startswith("tokens")]
    kept = dict(zip(tokens, in_order(model, forward, image, tokens), strict=True))
    return tuple(layer for layer in layers if kept.get(layer, True))
