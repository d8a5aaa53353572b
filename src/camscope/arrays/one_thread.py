"""Products of NumPy's matrices that wake no other thread.

The threads that NumPy multiplies with wait for more work after a product, for a tenth of a second, and keep busy with
waiting the cores on which a model runs next: that costs more than they spare, unless the product is large.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from jaxtyping import Float

_ALONE = 2**18
"""So many multiplications OpenBLAS, which most NumPys multiply with, does on the thread that asks."""

_FEW = 4
"""Up to so many rows (or columns) NumPy's own loops are as fast."""


def product_on_one_thread(
    a: Float[np.ndarray, "row inner"], b: Float[np.ndarray, "inner column"]
) -> Float[np.ndarray, "row column"]:
    """The matrix product a @ b, in pieces that one thread does.

    Args:
        a: the left matrix.
        b: the right one.
    """
    (rows, inner), columns = a.shape, b.shape[1]
    if min(rows, columns) <= _FEW:
        made: np.ndarray = np.einsum("ri,ic->rc", a, b)
        return made
    pairs = max(4, _ALONE // max(1, inner))  # of a row and a column, in each piece
    side = min(rows, columns, max(2, math.isqrt(pairs)))
    high, wide = (side, pairs // side) if rows <= columns else (pairs // side, side)
    out = np.empty((rows, columns), np.result_type(a, b))
    for across in _pieces(columns, wide):
        for down in _pieces(rows, high):
            np.matmul(a[down], b[:, across], out=out[down, across])
    return out


def _pieces(count: int, most: int) -> list[slice]:
    """Slices of nearly the same size, so that none is a single row, which would be multiplied by other rules."""
    ends = np.linspace(0, count, -(-count // most) + 1).astype(int).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]
