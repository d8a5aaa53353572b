"""Choosing the channels of an image that are worth a run of the model, and picking them out."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, to_numpy
from camscope.evidence import Evidence
from camscope.methods.shared import shared


def pick(
    values: Float[Array, " n *rest"], numbers: Int[np.ndarray, " chosen"]
) -> Float[Array, " chosen *rest"]:
    """The entries of the first axis with these numbers, in that order."""
    xp = array_namespace(values)
    return xp.take(values, xp.asarray(numbers, device=device(values)), axis=0)


@shared
def nonzero(evidence: Evidence) -> Bool[np.ndarray, "batch channel"]:
    """Which channels are not zero everywhere. The others add nothing to any weighted sum of channels."""
    A = evidence.activations
    xp = array_namespace(A)
    return to_numpy(xp.any(A != 0, axis=_space(A)))


@shared
def varying(evidence: Evidence) -> Bool[np.ndarray, "batch channel"]:
    """Which channels are not constant over space; a channel that holds NaN counts as varying.

    A constant channel says nothing of where something is.
    """
    A = evidence.activations
    xp = array_namespace(A)
    axes = _space(A)
    return to_numpy(~(xp.max(A, axis=axes) == xp.min(A, axis=axes)))


@shared
def spread(evidence: Evidence) -> Float[np.ndarray, "batch channel"]:
    """The standard deviation of each channel over space."""
    A = evidence.activations
    return to_numpy(array_namespace(A).std(A, axis=_space(A)))


def largest(values: Float[np.ndarray, "*leading channel"], n: int) -> Bool[np.ndarray, "*leading channel"]:
    """Marks the n largest values along the last axis; among equal ones those that come first."""
    order = np.argsort(-values, axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1, kind="stable")
    return ranks < n


def _space(activations: Float[Array, "batch channel *space"]) -> tuple[int, ...]:
    return tuple(range(2, activations.ndim))
