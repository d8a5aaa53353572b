"""Σ_k w^k ⊙ A^k, however the weights are laid out."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.arrays import channel_sum

RNG = np.random.default_rng(0)
WEIGHTS = RNG.standard_normal((5, 7))


@pytest.mark.parametrize("space", [(4,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("batch", [1, 3])
def test_weights_that_images_share_give_what_weights_of_each_give(batch: int, space: tuple, last: bool):
    activations = RNG.standard_normal((batch, 7, *space))
    if last:
        activations = np.moveaxis(np.ascontiguousarray(np.moveaxis(activations, 1, -1)), -1, 1)
    expected = np.zeros((batch, 5, *space))
    for b in range(batch):
        for t in range(5):
            for k in range(7):
                expected[b, t] += WEIGHTS[t, k] * activations[b, k]
    shared = np.broadcast_to(WEIGHTS, (batch, 5, 7))
    for weights in (shared, shared.copy()):
        for ones in ((), (1,) * len(space)):
            found = channel_sum(weights.reshape(batch, 5, 7, *ones) if ones else weights, activations)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
