"""Fidelities over resampled probes: a paired bootstrap, within the probes of each imputer."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from camscope.trust.fidelities import Halves

RESAMPLES = 1000


def resampled(
    masses: Float[np.ndarray, "row probe"],
    drops: Float[np.ndarray, "row probe"],
    halves: Halves,
    seed: int,
) -> Float[np.ndarray, "row resample"]:
    """The fidelity of each map over the same resamples of the probes, ranked anew in each.

    A value's rank in a resample is the weight of what is below it, and half the weight of what equals it: one product
    of the weights and a table of comparisons.

    Args:
        masses: of each map.
        drops: of each map's target.
        halves: the probes of each imputer.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    found = np.zeros((len(masses), RESAMPLES))
    for half in halves.values():
        n = len(half)
        weights = random.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float32)
        known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        for row, (mass, drop) in enumerate(zip(masses[:, half], drops[:, half], strict=True)):
            key = drop.tobytes()
            if key not in known:
                known.clear()  # the maps of a target mostly follow one another
                below, size = _ranked(drop, weights)
                known[key] = weights * below, size
            lost, size = known[key]
            put, own = _ranked(mass, weights)
            sizes = own * size
            products = np.einsum("rn,rn->r", put, lost)
            found[row] += np.divide(products, np.sqrt(sizes), out=np.zeros(RESAMPLES), where=sizes > 0)
    return found / len(halves)


def _ranked(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, "resample n"]
) -> tuple[Float[np.ndarray, "resample n"], Float[np.ndarray, " resample"]]:
    """The ranks of values in each resample, less their mean, and the sum of their squares."""
    below = (values[:, None] > values).astype(np.float32) + np.float32(0.5) * (values[:, None] == values)
    ranks = weights @ below.T - np.float32(len(values) / 2)
    return ranks, np.einsum("rn,rn->r", weights * ranks, ranks)
