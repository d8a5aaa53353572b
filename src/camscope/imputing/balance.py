"""The linear system of ROAD's imputation, of all pixels: each is the weighted mean of its neighbours."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np


@functools.lru_cache(maxsize=4)
def neighbour_weights(space: tuple[int, ...]) -> Any:
    """How much each pixel's neighbours weigh: a sparse matrix, pixel × pixel."""
    from scipy import sparse

    numbers = np.arange(np.prod(space)).reshape(space)
    rows, columns, weights = [], [], []
    for offset in itertools.product((-1, 0, 1), repeat=len(space)):
        if any(offset):
            here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, space, strict=True))
            there = tuple(slice(max(0, o), n + min(0, o)) for o, n in zip(offset, space, strict=True))
            rows.append(numbers[here].ravel())
            columns.append(numbers[there].ravel())
            weights.append(np.full(rows[-1].size, 0.5 ** (np.count_nonzero(offset) - 1)))
    placed = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(placed, shape=(numbers.size, numbers.size))


@functools.lru_cache(maxsize=4)
def balance(space: tuple[int, ...]) -> Any:
    """Sum of a pixel's weights times itself, less its neighbours by their weights: zero where it is their mean."""
    from scipy import sparse

    weights = neighbour_weights(space)
    return sparse.csr_matrix(sparse.diags(np.asarray(weights.sum(axis=1)).ravel()) - weights)
