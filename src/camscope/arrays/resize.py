"""The one upsampling of the house: linear along each axis, half-pixel (`align_corners=False`), any number of axes.

A convex combination of neighbours, so it never leaves the range of the map, in 3D either. Written as one small
matrix product per axis, so it runs on any array library and device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays.ops import Array, from_numpy, product


def resize(
    maps: Float[Array, "batch target *space"], size: Sequence[int]
) -> Float[Array, "batch target *size"]:
    """Resize the spatial axes of maps to `size`."""
    for axis, (n_in, n_out) in enumerate(zip(maps.shape[2:], size, strict=True)):
        positions = (np.arange(n_out) + 0.5) * (n_in / n_out)
        maps = _along(maps, axis + 2, positions)
    return maps


def trimmed(
    maps: Float[Array, "batch target *space"], covered: Sequence[float]
) -> Float[Array, "batch target *space"]:
    """Cut the padding off maps of a padded input: keep the first `covered` share of each axis, at the same size."""
    for axis, share in enumerate(covered):
        if share != 1:
            count = maps.shape[axis + 2]
            maps = _along(maps, axis + 2, (np.arange(count) + 0.5) * share)
    return maps


def place(
    maps: Float[Array, "batch target *space"],
    size: Sequence[int],
    scale: Sequence[float],
    offset: Sequence[float],
    input_size: Sequence[int],
) -> Float[Array, "batch target *size"]:
    """Resize maps of the model's input onto the picture it was cut from: NaN where the input did not reach.

    Args:
        maps: at the layer's resolution, spanning the model's whole input.
        size: the picture's size in pixels, along each axis.
        scale: input pixels per picture pixel, along each axis.
        offset: the picture's edge in input pixels, along each axis: input = picture · scale + offset.
        input_size: the size of the model's input in pixels, along each axis.
    """
    xp = array_namespace(maps)
    for axis, n_out in enumerate(size):
        at_input = (np.arange(n_out) + 0.5) * scale[axis] + offset[axis]
        maps = _along(maps, axis + 2, at_input * (maps.shape[axis + 2] / input_size[axis]))
        inside = (at_input >= 0) & (at_input < input_size[axis])
        if not inside.all():
            shape = [1] * maps.ndim
            shape[axis + 2] = n_out
            hidden = np.where(inside, 0.0, np.nan).reshape(shape)
            maps = maps + xp.astype(from_numpy(hidden, like=maps), maps.dtype)
    return maps


def _along(
    maps: Float[Array, "batch target *space"], axis: int, positions: Float[np.ndarray, " out"]
) -> Float[Array, "batch target *moved"]:
    """Interpolate one axis at positions measured from its edge in cells: cell k covers [k, k + 1)."""
    xp = array_namespace(maps)
    n_in = maps.shape[axis]
    centred = np.clip(positions - 0.5, 0, n_in - 1)
    low = np.minimum(centred.astype(np.int64), max(n_in - 2, 0))
    share = centred - low
    matrix = np.zeros((len(positions), n_in))
    rows = np.arange(len(positions))
    matrix[rows, low] += 1 - share
    matrix[rows, np.minimum(low + 1, n_in - 1)] += share
    moved = product(xp.moveaxis(maps, axis, -1), from_numpy(matrix.T, like=maps))
    return xp.moveaxis(moved, -1, axis)
