"""How scores change with the logits they are made of: in closed form, for frameworks that differentiate only the model.

In double precision: these numbers are multiplied with the model's own gradients, and must not add to their rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.outputs.dense import Dense
from camscope.outputs.logits import Of, Outputs, Task

Weights = Float[np.ndarray, "batch class *space"]


def score_slopes(outputs: Outputs, of: Of, weights: Float[np.ndarray, "batch class"]) -> Weights:
    """The gradient of Σ_c weights_c · score_c by the logits; of dense outputs by those at every position.

    Args:
        outputs: of the model.
        of: the kind of score.
        weights: of each image and class, constants.
    """
    if isinstance(outputs.predictions, Dense):
        return _of_means(outputs.predictions, of, weights)
    return _slopes(_double(outputs.logits), outputs.task, of, weights)


def dense_slopes(dense: Dense, of: Of, weights: Weights) -> Weights:
    """The gradient of Σ weights ⊙ score by the logits, the scores being those of every position.

    Args:
        dense: of the model.
        of: the kind of score.
        weights: of each class at each position.
    """
    return _slopes(_double(dense.logits), dense.task, of, weights)


def _of_means(dense: Dense, of: Of, weights: Float[np.ndarray, "batch class"]) -> Weights:
    """A class's logit, and its probability, is the mean over positions; the log-probability that mean's logarithm."""
    logits = _double(dense.logits)
    positions = int(np.prod(logits.shape[2:]))
    across = (..., *(None,) * (logits.ndim - 2))

    def even(weights: Float[np.ndarray, "batch class"]) -> Weights:
        shared: np.ndarray = np.broadcast_to((weights / positions)[across], logits.shape)
        return shared

    if of == "logit":
        return even(weights)
    if of == "probability":
        return _slopes(logits, dense.task, of, even(weights))
    share: np.ndarray = _double(dense.probabilities)
    logs = _slopes(logits, dense.task, "probability", even(weights / np.maximum(share, np.finfo(float).tiny)))
    return logs + even(weights) if of == "rest" else logs


def _slopes(logits: Weights, task: Task, of: Of, weights: Weights) -> Weights:
    """The classes are on axis 1; every other axis goes along."""
    if of == "logit":
        return weights
    if task == "multiclass":
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        p = powers / powers.sum(axis=1, keepdims=True)
        found: np.ndarray
        if of == "probability":
            found = p * (weights - (weights * p).sum(axis=1, keepdims=True))
        else:
            found = weights - p * weights.sum(axis=1, keepdims=True)
    else:
        p = (1 + np.tanh(logits / 2)) / 2
        found = weights * (p * (1 - p) if of == "probability" else (1 + np.tanh(-logits / 2)) / 2)
    return found + weights if of == "rest" else found


def _double(values: Any) -> np.ndarray:
    double: np.ndarray = to_numpy(values).astype(np.float64)
    return double
