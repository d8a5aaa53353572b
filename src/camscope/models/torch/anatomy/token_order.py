"""Whether tokens stand in the order of the image's patches: Hiera, for one, sorts them otherwise to pool them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from camscope.models.layer import Layer
from camscope.models.torch.hooks.modules import first_tensor
from camscope.models.torch.hooks.record import Recorder

_WINDOW = 1 / 8
"""What is altered of each axis."""

_PLACES = (0.2, 0.5, 0.8)
"""Where, as a share of the axis; along the next axis the next of them is taken."""


def reorders(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> bool:
    """Whether a module without weights puts out the tokens it got, `batch token channel`, in another order.

    Args:
        module: any.
        inputs: what it got, its tokens the first tensor.
        output: what it put out, likewise.
    """
    before, after = first_tensor(inputs), first_tensor(output)
    return (
        before is not None
        and after is not None
        and before.ndim == 3
        and before.shape == after.shape
        and next(module.parameters(), None) is None
        and not torch.equal(before, after)
        and torch.equal(before[..., 0].sort(1).values, after[..., 0].sort(1).values)
    )


def in_order(
    model: nn.Module, forward: Callable[[torch.Tensor], Any], image: torch.Tensor, layers: Sequence[Layer]
) -> list[bool]:
    """Whether what changes at some place of the image changes most at that place of each layer's grid.

    Tried at three places, with noise in an eighth of each axis. Only for models that reorder their tokens: where a
    network mixes much, the order is right and the change may still be largest elsewhere.

    Args:
        model: an unwrapped module.
        forward: runs the model.
        image: a batch of one.
        layers: with a grid.
    """

    def activations(image: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad(), Recorder(model, layers) as recorder:
            forward(image)
        return [layer.grid.canonical(recorder.seen(layer).activations) for layer in layers]

    plain = activations(image)
    found = [True] * len(layers)
    generator = torch.Generator().manual_seed(0)
    for shift in range(len(_PLACES)):
        place = [_PLACES[(shift + axis) % len(_PLACES)] for axis in range(image.ndim - 2)]
        altered = image.clone()
        window = altered
        for axis, (p, n) in enumerate(zip(place, image.shape[2:], strict=True), start=2):
            window = window.narrow(axis, int((p - _WINDOW / 2) * n), int(_WINDOW * n) + 1)
        window.copy_(torch.randn(window.shape, generator=generator))
        for i, (before, after) in enumerate(zip(plain, activations(altered), strict=True)):
            change = (after - before).abs().sum(1)[0]
            cell = torch.unravel_index(change.argmax(), change.shape)
            found[i] &= all(
                abs((float(c) + 0.5) / n - p) <= _WINDOW / 2 + 1 / n
                for c, n, p in zip(cell, change.shape, place, strict=True)
            )
    return found
