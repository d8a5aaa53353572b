"""The one upsampling of the house: linear along each axis, half-pixel (`align_corners=False`), any number of axes.

A convex combination of neighbours, so it never leaves the range of the map, in 3D either. Written as one small
matrix product per axis, so it runs on any array library and device. Splines of another order are the same product with
another matrix. Masks go the other way, to the cells of a map, by their area.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays.ops import Array, from_indices, from_numpy, product
from camscope.errors import InputError

_LARGEST_MATRIX = 2**24
"""A matrix with more elements is not made: along a sound, whose samples are hundreds of thousands, cells are picked."""


def check_order(order: int) -> None:
    """Refuse what is no order of a spline.

    Raises:
        InputError: naming those there are.
    """
    if isinstance(order, bool) or not isinstance(order, int) or not 0 <= order <= 5:
        raise InputError(
            f"order={order!r}: expected the order of a spline, 0 (the cells as they are), 1 (linear), 2 … 5 (smoother)."
        )


def resize(
    maps: Float[Array, "batch target *space"], size: Sequence[int], order: int = 1
) -> Float[Array, "batch target *size"]:
    """Resize the spatial axes of maps to `size`.

    Args:
        maps: at the layer's resolution.
        size: along each axis.
        order: of the spline through the cells' centres: 0 keeps the cells as squares, 1 is linear, 2 to 5 are smoother.
            Above 1 a spline overshoots; what leaves the range of its map is clipped to it.

    Raises:
        InputError: for an order below 0 or above 5.
    """
    check_order(order)
    moved = maps
    for axis, (n_in, n_out) in enumerate(zip(maps.shape[2:], size, strict=True)):
        positions = (np.arange(n_out) + 0.5) * (n_in / n_out)
        moved = _along(moved, axis + 2, positions, order)
    return _in_range_of(maps, moved) if order > 1 else moved


def trimmed(
    maps: Float[Array, "batch target *space"], covered: Sequence[float]
) -> Float[Array, "batch target *space"]:
    """Cut the padding off maps of a padded input: keep the first `covered` share of each axis, at the same size."""
    for axis, share in enumerate(covered):
        if share != 1:
            count = maps.shape[axis + 2]
            maps = _along(maps, axis + 2, (np.arange(count) + 0.5) * share)
    return maps


def area_shares(masks: Float[Array, " ..."], size: Sequence[int]) -> Float[Array, " ..."]:
    """Masks at another resolution: the share of each cell that is inside, so that no thin part is lost.

    Args:
        masks: 0 to 1 at each position; the last axes are space, as many as `size` has.
        size: the number of cells along each of these.
    """
    xp = array_namespace(masks)
    for axis, cells in zip(range(-len(size), 0), size, strict=True):
        n = masks.shape[axis]
        if n != cells:
            edges = np.arange(n + 1) / n
            starts, ends = np.arange(cells) / cells, np.arange(1, cells + 1) / cells
            shared = np.minimum(ends[:, None], edges[1:]) - np.maximum(starts[:, None], edges[:-1])
            matrix = np.clip(shared, 0, None) * cells
            inside = product(xp.moveaxis(masks, axis, -1), from_numpy(matrix.T, like=masks))
            masks = xp.moveaxis(inside, -1, axis)
    return masks


def place(
    maps: Float[Array, "batch target *space"],
    size: Sequence[int],
    scale: Sequence[float],
    offset: Sequence[float],
    input_size: Sequence[int],
    order: int = 1,
    reach: Sequence[float] | None = None,
) -> Float[Array, "batch target *size"]:
    """Resize maps of the model's input onto the picture it was cut from: NaN where the input did not reach.

    Args:
        maps: at the layer's resolution, spanning the model's whole input.
        size: the picture's size in pixels, along each axis.
        scale: input pixels per picture pixel, along each axis.
        offset: the picture's edge in input pixels, along each axis: input = picture · scale + offset.
        input_size: the size of the model's input in pixels, along each axis.
        order: see `resize`.
        reach: how far beyond its edges the input still sees, in its own pixels, along each axis; None for not at all.

    Raises:
        InputError: for an order below 0 or above 5.
    """
    check_order(order)
    xp = array_namespace(maps)
    moved = maps
    for axis, n_out in enumerate(size):
        at_input = (np.arange(n_out) + 0.5) * scale[axis] + offset[axis]
        moved = _along(moved, axis + 2, at_input * (maps.shape[axis + 2] / input_size[axis]), order)
        beyond = 0.0 if reach is None else reach[axis]
        inside = (at_input >= -beyond) & (at_input < input_size[axis] + beyond)
        if not inside.all():
            shape = [1] * maps.ndim
            shape[axis + 2] = n_out
            hidden = np.where(inside, 0.0, np.nan).reshape(shape)
            moved = moved + xp.astype(from_numpy(hidden, like=maps), maps.dtype)
    return _in_range_of(maps, moved) if order > 1 else moved


def _in_range_of(
    maps: Float[Array, "batch target *space"], moved: Float[Array, "batch target *size"]
) -> Float[Array, "batch target *size"]:
    """Clip each resized map to the lowest and highest value of the map that it was; NaN stays NaN."""
    xp = array_namespace(maps)
    axes = tuple(range(2, maps.ndim))
    low, high = xp.min(maps, axis=axes, keepdims=True), xp.max(maps, axis=axes, keepdims=True)
    return xp.minimum(xp.maximum(moved, low), high)


def _along(
    maps: Float[Array, "batch target *space"], axis: int, positions: Float[np.ndarray, " out"], order: int = 1
) -> Float[Array, "batch target *moved"]:
    """Interpolate one axis at positions measured from its edge in cells: cell k covers [k, k + 1)."""
    xp = array_namespace(maps)
    n_in = maps.shape[axis]
    centred = positions - 0.5
    if order == 1 and n_in * len(positions) > _LARGEST_MATRIX:
        low, share = _neighbours(n_in, centred)
        below, above = (
            xp.take(maps, from_indices(at, like=maps), axis=axis)
            for at in (low, np.minimum(low + 1, n_in - 1))
        )
        part = xp.astype(from_numpy(share, like=maps), maps.dtype)
        part = part[(..., *(None,) * (maps.ndim - 1 - axis))]
        return below * (1 - part) + above * part
    matrix = _linear(n_in, centred) if order == 1 else _spline(n_in, centred, order)
    moved = product(xp.moveaxis(maps, axis, -1), from_numpy(matrix.T, like=maps))
    return xp.moveaxis(moved, -1, axis)


def _neighbours(
    n_in: int, centred: Float[np.ndarray, " out"]
) -> tuple[Int[np.ndarray, " out"], Float[np.ndarray, " out"]]:
    """The cell at or before each position, and how far it is from there to the next one."""
    centred = np.clip(centred, 0, n_in - 1)
    low = np.minimum(centred.astype(np.int64), max(n_in - 2, 0))
    return low, centred - low


def _linear(n_in: int, centred: Float[np.ndarray, " out"]) -> Float[np.ndarray, "out {n_in}"]:
    """The share of each cell at positions measured from the first cell's centre."""
    low, share = _neighbours(n_in, centred)
    matrix = np.zeros((len(centred), n_in))
    rows = np.arange(len(centred))
    matrix[rows, low] += 1 - share
    matrix[rows, np.minimum(low + 1, n_in - 1)] += share
    return matrix


def _spline(n_in: int, centred: Float[np.ndarray, " out"], order: int) -> Float[np.ndarray, "out {n_in}"]:
    """What each cell weighs in the spline at positions measured from the first cell's centre.

    A spline is linear in the values it goes through, so its weights are the splines through one cell that is 1 among
    cells that are 0.
    """
    from scipy import ndimage

    cells = np.arange(n_in)
    return np.stack(
        [ndimage.map_coordinates(1.0 * (cells == k), [centred], order=order, mode="nearest") for k in cells],
        axis=1,
    )
