"""Probes: random sets of cells that are removed, the same for all maps of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

SHARE = 0.2
"""The share of the cells that a probe removes."""

FEWEST = 32
"""Fewer probes than these tell nothing from chance."""

_FEW_CELLS = 7 * 7


def probes_on(grid: Sequence[int]) -> int:
    """How many probes a grid needs: 128 for up to 7 × 7 cells, 256 for more."""
    return 128 if math.prod(grid) <= _FEW_CELLS else 256


def drawn(grid: Sequence[int], count: int, share: float, seed: int) -> Bool[np.ndarray, " probe *grid"]:
    """Draw probes. Each removes as many cells, so that a constant that is added to a map changes nothing.

    Args:
        grid: how many cells there are along each axis, two at least in all.
        count: how many probes.
        share: of the cells that a probe removes, rounded to whole cells; one at least, and one is left.
        seed: of the draw.
    """
    cells = math.prod(grid)
    gone = min(max(round(share * cells), 1), cells - 1)
    order = np.random.default_rng(seed).random((count, cells)).argsort(axis=1)
    return (order.argsort(axis=1) < gone).reshape(count, *grid)
