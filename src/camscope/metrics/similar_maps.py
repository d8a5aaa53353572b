"""How alike two maps are: by the ranks of their cells, and within the cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from camscope.arrays import resize
from camscope.imputing.removed_cells import nearest_cells
from camscope.metrics.cells_of_maps import grid_of, on_grid
from camscope.metrics.measured_maps import can_be_judged
from camscope.metrics.rank_correlation import rank_correlations


def rank_correlation(a: Float[np.ndarray, "*space"], b: Float[np.ndarray, "*space"]) -> float:
    """Spearman's, where what is equal shares a rank: NaN if the first map is flat or broken, 0 if the second is."""
    if not can_be_judged(a):
        return np.nan
    if not can_be_judged(b):
        return 0.0
    return float(rank_correlations(a.reshape(1, -1), b.reshape(1, -1))[0])


def likeness(a: Float[np.ndarray, "*space"], b: Float[np.ndarray, "*space"]) -> float:
    """How alike two maps are in size, |a| and |b|: in where they show something, or in what they show there.

    A map of at most 196 cells, such as 14 × 14, says where, by the rank correlation of its cells. A finer one also says
    what is there: that is the mean of the rank correlations within cells of such a grid (`grid_of`). The larger of both
    counts, since a reader sees both.

    Args:
        a: a map.
        b: another one of the same shape.
    """
    one, other = np.abs(a), np.abs(b)
    grid = grid_of(a.shape, a.shape)
    if grid == a.shape:
        return rank_correlation(one, other)
    place = rank_correlation(*(on_grid(m, grid) for m in (one, other)))
    if np.isnan(place):
        return place
    return max(place, _within(one, other, grid))


def likeness_within_reach(a: Float[np.ndarray, "*space"], b: Float[np.ndarray, "*space"]) -> float:
    """The rank correlation of |a| and |b| where either is not zero: of what the score of an instance depends on.

    Elsewhere both are zero by where the instance is, whatever the weights are. NaN if fewer than three cells are left.

    Args:
        a: a map.
        b: another one of the same shape.
    """
    reached = (a != 0) | (b != 0)
    if not can_be_judged(a) or reached.sum() < 3:
        return np.nan
    return rank_correlation(np.abs(a[reached]), np.abs(b[reached]))


def _within(a: Float[np.ndarray, "*space"], b: Float[np.ndarray, "*space"], grid: tuple[int, ...]) -> float:
    """The mean rank correlation within the cells of a grid in which both maps vary; −1 if they do in none."""
    parts = np.zeros(a.shape, np.int64)
    for axis, (n, cells) in enumerate(zip(a.shape, grid, strict=True)):
        parts = parts * cells + nearest_cells(cells, n).reshape(-1, *(1,) * (a.ndim - 1 - axis))
    order = np.argsort(parts, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(parts.ravel()))[:-1]
    found = [
        rank_correlation(one, other)
        for one, other in zip(np.split(a.ravel()[order], ends), np.split(b.ravel()[order], ends), strict=True)
        if can_be_judged(one) and can_be_judged(other)
    ]
    return float(np.mean(found)) if found else -1.0


def map_entropy(one: Float[np.ndarray, "*space"], size: Sequence[int], bins: int) -> float:
    """The entropy of a map's histogram, in nats: NaN if the map is broken, 0 if it is flat.

    Args:
        one: the map, which is resized to the input.
        size: of the input.
        bins: of the histogram, from the least value to the largest.
    """
    if not np.isfinite(one).all():
        return np.nan
    if not can_be_judged(one):
        return 0.0
    large = one if one.ndim != len(size) else np.asarray(resize(one[None, None], size)[0, 0])
    counts, _ = np.histogram(large, bins=bins)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
