"""A head that an earlier batch showed is used again only as long as it is right."""

from __future__ import annotations

import numpy as np

from camscope.models.runtime.linear_head import HeadFinder

RNG = np.random.default_rng(0)
A = RNG.standard_normal((3, 8, 4, 4)).astype(np.float32)
W, B = RNG.standard_normal((5, 8)).astype(np.float32), RNG.standard_normal(5).astype(np.float32)


def after(weight: np.ndarray):
    return lambda activations: activations.mean(axis=(2, 3)) @ weight.T + B


def test_a_head_is_remembered():
    heads, answers = HeadFinder(), after(W)
    found = heads.head("layer", A, answers(A), answers, answers, far=True)
    np.testing.assert_allclose(found.weight, W, rtol=1e-4, atol=1e-5)
    assert heads.known("layer", A, answers(A)) is found
    assert heads.known("another", A, answers(A)) is None


def test_a_head_whose_weights_changed_a_little_is_not_taken_again():
    """Within the tolerance of a head that is looked for, and not within the rounding of one sum."""
    heads, before = HeadFinder(), after(W)
    found = heads.head("layer", A, before(A), before, before, far=True)
    scores = after(W * np.float32(1 + 4e-5))(A)
    assert found.right(A, scores).all()
    assert heads.known("layer", A, scores) is None


def test_that_a_layer_has_no_head_is_remembered_too():
    heads = HeadFinder()

    def curved(activations: np.ndarray) -> np.ndarray:
        return np.tanh(after(W)(activations))

    assert heads.head("layer", A, curved(A), curved, curved, far=True) is None
    assert heads.is_known_for_none("layer")
    assert not heads.is_known_for_none("another")


def test_a_hidden_relu_that_rests_for_all_of_the_batch_is_no_head():
    """Beside large biases it does, also without some channels and negated; the formula would be wrong for others."""
    hidden = RNG.standard_normal((8, 12)).astype(np.float32)
    second = RNG.standard_normal((12, 5)).astype(np.float32)

    def resting(activations: np.ndarray) -> np.ndarray:
        return np.maximum(activations.mean(axis=(2, 3)) @ hidden + 100, 0) @ second

    near, far = (
        HeadFinder().head("layer", A, resting(A), resting, resting, far=far) for far in (False, True)
    )
    assert near is not None
    assert far is None
