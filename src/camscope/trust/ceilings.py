"""How well any map of a grid can say where: the ceiling of fidelity."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from camscope.trust.fidelities import Halves, fidelities

_FOLDS = 4
_RIDGES = (0.1, 3.0, 30.0)
"""How much the weights of a regression are held down: little where the score is additive in cells, much where not."""


def ceilings(
    removed: Float[np.ndarray, "probe cell"],
    drops: Float[np.ndarray, "target probe"],
    halves: Halves,
    seed: int,
) -> Float[np.ndarray, " target"]:
    """The fidelity that the best additive map reaches on probes that it was not fitted to.

    It is a ridge regression of the drops on the cells that are removed, 4-fold cross-validated, the best of λ = 0.1, 3
    and 30. What is the same for all probes of an imputer is no map's to say, and taken off.

    Args:
        removed: 1 where a probe removes a cell.
        drops: of each target.
        halves: the probes of each imputer.
        seed: of the draw of folds.
    """
    random = np.random.default_rng(seed)
    fold = np.empty(len(removed), np.int64)
    for half in halves.values():
        fold[half] = random.permutation(np.arange(len(half)) % _FOLDS)
    predicted = np.empty((len(_RIDGES), *drops.shape))
    for out in range(_FOLDS):
        x, y = removed.copy(), drops.copy()
        level = np.empty(drops.shape)
        for half in halves.values():
            known = half[fold[half] != out]
            x[half] -= removed[known].mean(axis=0)
            level[:, half] = drops[:, known].mean(axis=1, keepdims=True)
        y -= level
        known, asked = fold != out, fold == out
        squares, products = x[known].T @ x[known], x[known].T @ y[:, known].T
        for number, ridge in enumerate(_RIDGES):
            weights = np.linalg.solve(squares + ridge * np.eye(len(squares)), products)
            predicted[number][:, asked] = (x[asked] @ weights).T + level[:, asked]
    return np.asarray(np.max([fidelities(one, drops, halves) for one in predicted], axis=0))
