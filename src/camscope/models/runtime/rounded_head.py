"""The linear head of a quantised model, which holds roughly only: how roughly is measured, and said."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from camscope.evidence import LinearHead
from camscope.models.batch import Batch
from camscope.models.runtime.runs import ReadsHead, Runtime

_LEAST = 0.9
"""The correlation below which it is no head of this layer."""


def rounded_head(
    runtime: Runtime,
    batch: Batch,
    activations: Float[np.ndarray, "batch channel *space"],
    scores: Float[np.ndarray, "batch class"],
    slopes: Callable[[], Float[np.ndarray, "batch target class"]],
) -> LinearHead | None:
    """The head that a runtime reads off its weights; None if it reads none, or that says little of the scores.

    Args:
        runtime: of the model.
        batch: the inputs.
        activations: of the layer.
        scores: of the batch.
        slopes: gives those of the targets by the scores, if they are needed.
    """
    read = runtime.read_head(batch) if isinstance(runtime, ReadsHead) else None
    if read is None:
        return None
    weight, bias = read
    if len(weight) == 1 and scores.shape[1] == 2:  # a logit z as its two classes (−z, z)
        weight, bias = np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
    if weight.shape != (scores.shape[1], activations.shape[1]):
        return None
    said = activations.mean(axis=tuple(range(2, activations.ndim))) @ weight.T + bias
    correlation = _correlation(said, scores)
    if correlation < _LEAST:
        return None
    weights = (slopes() @ weight).astype(activations.dtype)
    return LinearHead(
        weights,
        activations,
        pools_activations=True,
        linear=False,
        holds_when_altered=lambda: False,
        correlation=correlation,
    )


def _correlation(a: Float[np.ndarray, "batch class"], b: Float[np.ndarray, "batch class"]) -> float:
    a, b = (one.astype(np.float64).ravel() - one.mean() for one in (a, b))
    size = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0
