"""The attention methods against full matrices and loops written out from the formulas, on three array libraries."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.composition import parse
from camscope.errors import MethodError
from camscope.evidence import Attention, AttentionLayer, ModelEvidence, Responses
from camscope.methods import get_method

BATCH, TARGETS, HEADS, WIDTH, LAYERS = 2, 3, 2, 4, 3
SPACE, PREFIX = (2, 3), 2
TOKENS = PREFIX + 6
CLS = np.eye(TOKENS)[0]
MEAN = np.r_[np.zeros(PREFIX), np.full(6, 1 / 6)]
BOTH = (CLS + MEAN) / 2
READOUTS = {"CLS": CLS, "mean": MEAN, "both": BOTH}
METHODS = ["rollout", "attention", "chefer", "legrad", "grad-eclip"]


def drawn(seed=0):
    """Seeded attention of three layers, float64: probabilities, and anything for the rest."""
    rng = np.random.default_rng(seed)
    layers = []
    for _ in range(LAYERS):
        weights = np.exp(rng.standard_normal((BATCH, HEADS, TOKENS, TOKENS)))
        layers.append(
            {
                "weights": weights / weights.sum(-1, keepdims=True),
                "gradients": rng.standard_normal((BATCH, TARGETS, HEADS, TOKENS, TOKENS)),
                "queries": rng.standard_normal((BATCH, HEADS, TOKENS, WIDTH)),
                "keys": rng.standard_normal((BATCH, HEADS, TOKENS, WIDTH)),
                "values": rng.standard_normal((BATCH, HEADS, TOKENS, WIDTH)),
                "output_gradients": rng.standard_normal((BATCH, TARGETS, HEADS, TOKENS, WIDTH)),
            }
        )
    blocks = [rng.standard_normal((BATCH, TARGETS, HEADS, TOKENS, TOKENS)) for _ in range(LAYERS)]
    return layers, blocks


def evidence_of(layers, blocks, readout, convert=np.asarray):
    attention = Attention(
        tuple(AttentionLayer(**{name: convert(value) for name, value in layer.items()}) for layer in layers),
        SPACE,
        PREFIX,
        convert(readout),
        tuple(map(convert, blocks)),
    )
    nothing = convert(np.zeros((BATCH, TARGETS)))
    return ModelEvidence(
        convert(np.zeros((BATCH, 3, 4, 6))), Responses(nothing, nothing, nothing), attention=attention
    )


def compute(name, readout=CLS, convert=np.asarray, **parameters):
    evidence = evidence_of(*drawn(), readout, convert)
    return np.asarray(get_method(name).with_parameters(**parameters)(evidence))


def on_patches(rows):
    return np.reshape(rows[..., PREFIX:], (*rows.shape[:-1], *SPACE))


# ------------------------------------------------------------------ the row recursion is the product of all matrices


def rollout_by_matrices(layers, blocks, readout, heads="mean"):
    """R = Ā_L … Ā_1, all of it."""
    expected = np.empty((BATCH, 1, TOKENS))
    for b in range(BATCH):
        R = np.eye(TOKENS)
        for layer in layers:
            A = getattr(layer["weights"][b], heads)(0) + np.eye(TOKENS)
            R = A / A.sum(1, keepdims=True) @ R
        expected[b, 0] = readout @ R
    return on_patches(expected)


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
@pytest.mark.parametrize("readout", READOUTS)
def test_rollout_is_the_product_of_the_full_matrices(readout, heads):
    expected = rollout_by_matrices(*drawn(), READOUTS[readout], heads)
    np.testing.assert_allclose(compute("rollout", READOUTS[readout], heads=heads), expected, rtol=1e-12)


def test_rollout_shares_out_all_of_the_readout():
    """Rows sum to one, so the patches hold what the tokens in front of them do not."""
    layers, blocks = drawn()
    whole = Attention(
        tuple(AttentionLayer(layer["weights"]) for layer in layers), (TOKENS,), 0, CLS, tuple(blocks)
    )
    nothing = np.zeros((BATCH, TARGETS))
    evidence = ModelEvidence(
        np.zeros((BATCH, 3, TOKENS)), Responses(nothing, nothing, nothing), attention=whole
    )
    np.testing.assert_allclose(get_method("rollout")(evidence).sum(-1), 1)


def chefer_by_matrices(layers, blocks, readout):
    """R ← R + ĀR, all of it."""
    expected = np.empty((BATCH, TARGETS, TOKENS))
    for b in range(BATCH):
        for t in range(TARGETS):
            R = np.eye(TOKENS)
            for layer in layers:
                R = R + np.maximum(layer["gradients"][b, t] * layer["weights"][b], 0).mean(0) @ R
            expected[b, t] = readout @ R
    return on_patches(expected)


@pytest.mark.parametrize("readout", READOUTS)
def test_chefer_is_the_recursion_of_the_full_matrices(readout):
    expected = chefer_by_matrices(*drawn(), READOUTS[readout])
    np.testing.assert_allclose(compute("chefer", READOUTS[readout]), expected, rtol=1e-12)


# ------------------------------------------------------------------ formulas, one number at a time


def legrad_by_loops(layers, blocks, readout, last=None):
    expected = np.zeros((BATCH, TARGETS, TOKENS))
    for gradients in blocks if last is None else blocks[-last:]:
        for key in range(TOKENS):
            expected[..., key] += np.maximum(gradients[..., key], 0).sum((2, 3)) / (HEADS * TOKENS)
    return on_patches(expected)


@pytest.mark.parametrize("last", [None, 1, 2, 7])
def test_legrad_sums_the_blocks_rectified_gradients(last):
    """`last` beyond the number of blocks is all of them."""
    np.testing.assert_allclose(compute("legrad", last=last), legrad_by_loops(*drawn(), CLS, last), rtol=1e-12)


@pytest.mark.parametrize("blocks", [(1,), (0, 2), (-2, -1), (2, -1), (1, 0)])
def test_legrad_of_chosen_blocks_is_the_sum_of_these(blocks):
    layers, every = drawn()
    chosen = [every[number] for number in sorted({number % LAYERS for number in blocks})]
    np.testing.assert_allclose(
        compute("legrad", blocks=blocks), legrad_by_loops(layers, chosen, CLS), rtol=1e-12
    )
    np.testing.assert_array_equal(compute("legrad", blocks=(-2, -1)), compute("legrad", last=2))


def test_the_blocks_are_written_as_text_and_read_again():
    chosen = parse("legrad(blocks=[0, -1])")
    assert chosen == get_method("legrad").with_parameters(blocks=(0, -1))
    assert chosen.name == "legrad(blocks=[0, -1])"
    assert parse(chosen.name) == chosen


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"blocks": (3,)}, "there is no block 3; the model has 3, 0 to 2"),
        ({"blocks": (-4, 0)}, "there is no block -4"),
        ({"blocks": (0,), "last": 2}, r"the last two blocks are blocks=\[-2, -1\]"),
        ({"blocks": ()}, "a list that is not empty"),
        ({"blocks": (1.5,)}, "expected int"),
    ],
)
def test_blocks_that_there_are_not(given, says):
    with pytest.raises(MethodError, match=says):
        compute("legrad", **given)


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def grad_eclip_by_loops(layers, blocks, readout, single_head=False):
    last = layers[-1]
    expected = np.zeros((BATCH, TARGETS, TOKENS))
    for b in range(BATCH):
        for q in np.flatnonzero(readout):
            for h in range(HEADS):
                own = slice(None) if single_head else slice(h, h + 1)
                cosines = np.array(
                    [
                        cosine(last["queries"][b, own, q].ravel(), last["keys"][b, own, k].ravel())
                        for k in range(PREFIX, TOKENS)
                    ]
                )
                loosened = (cosines - cosines.min()) / (cosines.max() - cosines.min())
                for t in range(TARGETS):
                    for i, k in enumerate(range(PREFIX, TOKENS)):
                        share = last["output_gradients"][b, t, h, q] @ last["values"][b, h, k]
                        expected[b, t, k] += share * loosened[i]
    return on_patches(expected)


@pytest.mark.parametrize("single_head", [False, True])
@pytest.mark.parametrize("readout", READOUTS)
def test_grad_eclip_by_loops(readout, single_head):
    result = compute("grad-eclip", READOUTS[readout], single_head=single_head)
    expected = grad_eclip_by_loops(*drawn(), READOUTS[readout], single_head)
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-12)


def test_grad_eclip_keeps_the_sign_and_is_finite_for_keys_that_are_all_alike():
    layers, blocks = drawn()
    assert (compute("grad-eclip") < 0).any()
    layers[-1]["keys"][:] = 0
    result = get_method("grad-eclip")(evidence_of(layers, blocks, CLS))
    assert not result.any()


def test_grad_eclip_without_queries_is_refused_and_names_others():
    layers, blocks = drawn()
    del layers[-1]["queries"]
    with pytest.raises(MethodError, match="chefer"):
        get_method("grad-eclip")(evidence_of(layers, blocks, CLS))


def attention_by_loops(layers, blocks, readout):
    """The last layer's rows, each by the share that the head reads of it."""
    expected = np.zeros((BATCH, 1, TOKENS))
    for q in range(TOKENS):
        for h in range(HEADS):
            expected[:, 0] += readout[q] * layers[-1]["weights"][:, h, q] / HEADS
    return on_patches(expected)


@pytest.mark.parametrize("readout", READOUTS)
def test_the_raw_attention_is_the_rows_of_what_is_read(readout):
    expected = attention_by_loops(*drawn(), READOUTS[readout])
    np.testing.assert_allclose(compute("attention", READOUTS[readout]), expected, rtol=1e-12)


# ------------------------------------------------------------------ what holds for each of them


def to_torch(value):
    import torch

    return torch.from_numpy(np.asarray(value))


def to_jax(value):
    import jax.numpy as jnp

    return jnp.asarray(value)


@pytest.mark.parametrize("convert", [to_torch, to_jax])
@pytest.mark.parametrize("name", METHODS)
def test_the_same_lines_run_on_every_library(name, convert):
    """JAX computes in float32 here."""
    for readout in READOUTS.values():
        expected = compute(name, readout)
        np.testing.assert_allclose(
            compute(name, readout, convert), expected, rtol=2e-4, atol=1e-5 * np.abs(expected).max()
        )


@pytest.mark.parametrize("name", METHODS)
def test_shapes_and_what_the_register_says(name):
    method = get_method(name)
    assert method.scope == "model"
    assert compute(name).shape == (BATCH, TARGETS if method.class_specific else 1, *SPACE)


@pytest.mark.parametrize("name", METHODS)
def test_what_the_tokens_in_front_receive_is_in_no_map(name):
    """Attention to a register changes nothing but its own column, which is dropped."""
    layers, blocks = drawn()
    layers[-1]["weights"][..., 1] += 5
    layers[-1]["gradients"][..., 1] += 5
    layers[-1]["keys"][..., 1, :] += 5
    layers[-1]["values"][..., 1, :] += 5
    blocks[-1][..., 1] += 5
    if name in ("attention", "legrad", "grad-eclip"):  # which read no further layer through that token
        changed = get_method(name)(evidence_of(layers, blocks, CLS))
        np.testing.assert_allclose(changed, compute(name), rtol=1e-12)
    else:
        changed = get_method(name)(evidence_of(layers, blocks, CLS))
        assert not np.allclose(changed, compute(name))


@pytest.mark.parametrize(
    ("name", "wrong"), [("rollout", {"heads": "sum"}), ("legrad", {"last": 0}), ("chefer", {"last": 1})]
)
def test_parameters_are_checked(name, wrong):
    with pytest.raises(MethodError):
        get_method(name).with_parameters(**wrong)
