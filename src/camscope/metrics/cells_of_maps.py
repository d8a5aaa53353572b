"""The cells of a map: the grid whose cells are removed and compared, and a map on that grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from camscope.arrays import area_shares

_MOST = 14 * 14
"""Cells that a grid has at most: of more, a few hundred probes say too little, and what differs is detail."""


def grid_of(space: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """The grid that maps are taken on: their own cells, neighbours grouped along the longest axes where they are many.

    A picture's grid has 14 × 14 cells at most, a signal's 196, a volume's such as 4 × 7 × 7.

    Args:
        space: of the maps.
        size: of the input, whose pixels a cell is made of.
    """
    finest = [min(n, pixels) for n, pixels in zip(space, size, strict=True)]
    grouped = [1] * len(finest)

    def cells() -> list[int]:
        return [-(-n // by) for n, by in zip(finest, grouped, strict=True)]

    while math.prod(cells()) > _MOST:
        longest = max(cells())
        grouped = [by + (n == longest) for by, n in zip(grouped, cells(), strict=True)]
    return tuple(cells())


def on_grid(maps: Float[np.ndarray, " ..."], grid: Sequence[int]) -> Float[np.ndarray, " ..."]:
    """Maps on such a grid: the mean over each of its cells, the last axes being space."""
    return np.asarray(area_shares(np.asarray(maps, np.float64)[None], grid)[0])
