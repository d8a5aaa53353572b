"""The grid of a layer as the user says it, where it is not found, or found wrongly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from camscope.arrays import Array, to_numpy
from camscope.errors import LayerError
from camscope.models.grid import MOST_PREFIX_TOKENS, Grid, Rearranged, token_axes

OneGrid: TypeAlias = "Sequence[int] | Callable[[Any], Any]"
"""The size of the grid; or a function that rearranges the layer's output to `batch channel *space`."""

SaidGrid: TypeAlias = "OneGrid | Mapping[str, OneGrid]"
"""Of all layers that are named, or by layer."""


def said_of(said: SaidGrid | None, name: str) -> OneGrid | None:
    """What is said of one layer; None if nothing is.

    Args:
        said: of all layers.
        name: of the layer.
    """
    return said.get(name) if isinstance(said, Mapping) else said


def grid_as_said(
    said: OneGrid, name: str, shape: Sequence[int], axes: int, numbered: Callable[[Sequence[int]], Array]
) -> Grid:
    """The grid of a layer, as it was said.

    Args:
        said: the size of the grid, or a function.
        name: of the layer, for messages.
        shape: of its output for one image.
        axes: how many axes of space the input has.
        numbered: makes an array of a shape that holds 0, 1, 2 …, of the kind that the layer puts out.

    Raises:
        LayerError: if the output has no such grid; or the function does more than to rearrange it.
    """
    if callable(said):
        return _rearranged(said, name, shape, axes, numbered)
    space = tuple(said)
    if len(space) != axes or any(not isinstance(n, int) or n < 1 for n in space):
        raise LayerError(
            f"grid={said!r} for {name!r}: expected {axes} whole numbers, one for each axis of the input's space."
        )
    found = _of_size(space, shape)
    if found is None:
        raise LayerError(
            f"grid={space} does not fit {name!r}, whose output has shape {tuple(shape)} for one image: it has neither "
            f"these axes, nor {math.prod(space)} tokens with at most {MOST_PREFIX_TOKENS} in front of them. A "
            "function that rearranges it to (batch, channel, *space) says any other order."
        )
    return found


def _of_size(space: tuple[int, ...], shape: Sequence[int]) -> Grid | None:
    """The layout in which an output has a grid of this size."""
    if tuple(shape[2:]) == space:
        return Grid("channels-first", space, shape[1])
    if tuple(shape[1:-1]) == space:
        return Grid("channels-last", space, shape[-1])
    if len(shape) != 3:
        return None
    for layout, count, channels in token_axes(shape):
        if 0 <= count - math.prod(space) <= MOST_PREFIX_TOKENS:
            return Grid(layout, space, channels, count - math.prod(space))
    return None


def _rearranged(
    function: Callable[[Any], Any],
    name: str,
    shape: Sequence[int],
    axes: int,
    numbered: Callable[[Sequence[int]], Array],
) -> Rearranged:
    """What a function does to an output of numbered elements says where it puts each of them."""
    made = to_numpy(function(numbered(shape)))
    if made.ndim != 2 + axes or made.shape[0] != 1:
        raise LayerError(
            f"The function grid= for {name!r} makes {made.shape} of {tuple(shape)}; expected (1, channel, *space) with "
            f"{axes} axes of space."
        )
    places = np.rint(made[0]).astype(np.int64)
    pure = np.abs(made[0] - places).max(initial=0) == 0 and len(np.unique(places)) == places.size
    if not pure or places.min(initial=0) < 0 or places.max(initial=0) >= math.prod(shape):
        raise LayerError(
            f"The function grid= for {name!r} does more than to rearrange the output: each number it gives must be one "
            "of the output's, and none twice. Gradients and altered activations could not be put back otherwise."
        )
    return Rearranged("channels-first", made.shape[2:], made.shape[1], places=places)
