"""Where a Flax module's input has its axes of space: in front of the channel, which is last."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

_OF_ATTENTION = {"query", "key", "value", "out"}
"""Layers whose kernels have axes for heads, and none for space."""


def space_of(module: Any) -> tuple[int, ...] | None:
    """The axes of space of a Flax module's input (0 is the batch), by the kernels of its convolutions.

    Args:
        module: an NNX module, or a linen module; without its variables nothing is known of that.

    Returns:
        None if it has no convolution.
    """
    axes = set(_kernel_axes(module))
    # a one-dimensional kernel beside others is mostly no convolution, and stacked layers have one axis more
    return next((tuple(range(1, 1 + n)) for n in (2, 3, 1) if n in axes), None)


def _kernel_axes(module: Any) -> Iterator[int]:
    """The number of axes of space of each convolution."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is not None and isinstance(module, nnx.Module):
        for _, inner in nnx.iter_graph(module):
            if isinstance(inner, (nnx.Conv, nnx.ConvTranspose)):
                yield inner.kernel.get_value().ndim - 2
        return
    from camscope.models.jax.linen_model import LinenModel

    if module.scope is not None:
        model = LinenModel(module)
        for name, weight in model.weights(model.now()[1]).items():
            *_, layer, kind, _collection = ["", "", *name.split("/")]
            if kind == "kernel" and layer not in _OF_ATTENTION:
                yield weight.ndim - 2
