"""Does the map find the right photo in a mosaic of several? The grid pointing game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array, area_shares, to_numpy
from camscope.errors import InputError
from camscope.metrics.measured_maps import Maps, can_be_judged, check_images, named_maps
from camscope.metrics.metric import Values, metric


@metric(higher_is_better=True, paper="Böhle et al. (CoDA-Nets), CVPR 2021, arXiv:2104.00032")
def grid_pointing_game(
    maps: Maps,
    parts: Any,
    *,
    grid: Sequence[int] = (2, 2),
    baselines: Mapping[str, Array] | None = None,
) -> tuple[Values, tuple[str, ...]]:
    """Σ_{part} relu(M) / Σ relu(M): the share of the positive map in the right part of a mosaic; by image and target.

    By chance it is 1 over the number of parts, 0.25 of a 2×2 mosaic; so it is of any map that does not follow the
    class, in the mean over a mosaic's classes. The map is taken as its cells are: one that two parts share counts for
    both by its area. A map that is positive nowhere cannot be judged.

    Args:
        maps: see `camscope.metrics.measured_maps.Maps`; of mosaics, and rectified.
        parts: the part that each target's photo is in, `batch` or `batch target`: 0 is the top left, then row by row.
        grid: how many parts there are along each axis.
        baselines: maps by name, of `baseline_maps`.

    Raises:
        InputError: if a part is none of the grid's, or the parts do not fit the maps.
    """
    named = named_maps(maps, baselines)
    grid = _checked_grid(grid)
    right = _checked_parts(parts, int(np.prod(grid)), named.batch)
    values = {}
    for name, own in named.maps.items():
        if own.ndim != len(grid) + 2 or own.shape[1] not in (1, right.shape[1]):
            raise InputError(
                f"The map {name!r} has the shape {own.shape}: expected batch, {right.shape[1]} targets (or 1 for all) "
                f"and {len(grid)} axes of space, as parts= and grid= are for."
            )
        shares = np.array([[_shares(one, grid) for one in targets] for targets in own])
        wide = np.broadcast_to(shares, (*right.shape, shares.shape[-1]))
        values[name] = np.take_along_axis(wide, right[..., None], axis=-1)[..., 0]
    return values, named.baselines


def _shares(one: Float[np.ndarray, "*space"], grid: Sequence[int]) -> Float[np.ndarray, " part"]:
    """The share of the positive map in each part; NaN if there is nothing to share."""
    mass = np.asarray(area_shares(np.maximum(one, 0), grid)).ravel()
    total = mass.sum()
    return mass / total if can_be_judged(one) and total else np.full(mass.size, np.nan)


def _checked_grid(grid: Any) -> tuple[int, ...]:
    counts = tuple(grid) if isinstance(grid, (list, tuple)) else ()
    if not counts or not all(isinstance(n, int) and n > 0 for n in counts) or np.prod(counts) < 2:
        raise InputError(f"grid={grid!r}: expected how many parts there are along each axis, such as (2, 2).")
    return counts


def _checked_parts(parts: Any, count: int, images: int) -> Int[np.ndarray, "batch target"]:
    right = np.asarray(to_numpy(parts))
    if right.dtype.kind not in "iu" or right.ndim not in (1, 2):
        raise InputError(
            f"parts={parts!r}: expected the number of the right part for each image, [0, 3], or for each image and "
            "target, [[0, 1, 2, 3]]."
        )
    check_images("Parts", len(right), images)
    if outside := sorted({int(part) for part in right.ravel() if not 0 <= part < count}):
        raise InputError(f"There is no part {outside[0]}: the grid has {count}, 0 to {count - 1}.")
    return right[:, None] if right.ndim == 1 else right
