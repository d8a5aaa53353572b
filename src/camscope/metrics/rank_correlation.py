"""Spearman's rank correlation of many rows at once; what is equal shares a rank."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def ranks(values: Float[np.ndarray, "row n"]) -> Float[np.ndarray, "row n"]:
    """The rank of each value in its row, from 0; equal values have the mean of their ranks."""
    order = np.argsort(values, axis=1)
    places = np.arange(values.shape[1], dtype=np.float64)
    found = np.empty(values.shape)
    np.put_along_axis(found, order, np.broadcast_to(places, values.shape), axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if tied.any():
        found[tied] = _shared(ordered[tied], order[tied])
    return found


def _shared(ordered: np.ndarray, order: np.ndarray) -> Float[np.ndarray, "row n"]:
    """The mean rank of each group of equal values, from the rows in order and that order."""
    n = ordered.shape[1]
    edge = np.ones((len(ordered), 1), bool)
    new = ordered[:, 1:] != ordered[:, :-1]
    places = np.arange(n)
    first = np.maximum.accumulate(np.where(np.hstack([edge, new]), places, 0), axis=1)
    last = np.minimum.accumulate(np.where(np.hstack([new, edge]), places, n)[:, ::-1], axis=1)[:, ::-1]
    found = np.empty(ordered.shape)
    np.put_along_axis(found, order, (first + last) / 2, axis=1)
    return found


def rank_correlations(
    a: Float[np.ndarray, "row n"], b: Float[np.ndarray, "row_or_1 n"]
) -> Float[np.ndarray, " row"]:
    """Spearman's rank correlation row by row; 0 where all values of a row are the same.

    Args:
        a: one row for each number.
        b: the same, or one row for all.
    """
    middle = (a.shape[1] - 1) / 2
    first, second = ranks(a) - middle, ranks(b) - middle
    products = np.einsum("rn,rn->r", first, np.broadcast_to(second, first.shape))
    sizes = np.einsum("rn,rn->r", first, first) * np.einsum("rn,rn->r", second, second)
    return np.asarray(np.divide(products, np.sqrt(sizes), out=np.zeros(len(a)), where=sizes > 0))
