"""Derivatives by re-runs where activations rest exactly at the corners of what reads them, against exact values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

import camscope
from camscope.arrays import to_numpy
from camscope.models.runtime.differences import Differences
from camscope.models.runtime.moves import by_channel, by_position, evenly
from tests.onnx.graphs import conv, graph, node, weights

CHANNELS, SIZE, CLASSES = 6, 5, 4

CORNERS: dict[str, tuple[Callable, Callable]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: x > 0),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6)),
    "leaky": (lambda x: np.where(x > 0, x, 0.1 * x), lambda x: np.where(x > 0, 1, 0.1)),
    "hardtanh": (lambda x: np.clip(x, -1, 1), lambda x: (x > -1) & (x < 1)),
    "hardswish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x < -3, 0, np.where(x < 3, x / 3 + 0.5, 1)),
    ),
}
"""What reads the activations, and its derivative as automatic gradients have it: none where it rests on a flat side."""

RESTING: dict[str, Callable] = {
    "zeros": lambda z: np.maximum(z, 0),
    "zeros and sixes": lambda z: np.clip(3 * z + 3, 0, 6),
    "only sixes": lambda z: np.minimum(3 * z + 3, 6) + np.where(z < -1, 0.01, 0),
    "minus ones and ones": lambda z: np.clip(z, -1, 1),
    "nowhere": lambda z: 3 * z,
}
"""Activations, and where they rest."""

KINDS = ("means", "along_activations", "at_positions")


def measured(
    corner: str, resting: str, dtype: type
) -> tuple[Differences, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Derivatives of a network whose layer is read by the corner and, beside it, by a matrix; and the exact ones."""
    rng = np.random.default_rng(3)
    A = RESTING[resting](rng.standard_normal((CHANNELS, SIZE, SIZE))).astype(dtype)
    mixing = 0.3 * rng.standard_normal((CHANNELS, CHANNELS))
    last = rng.standard_normal((CLASSES, A.size)) / 100
    function, slope = CORNERS[corner]

    def answers(rows: np.ndarray) -> np.ndarray:
        hidden = function(rows) + np.einsum("kj,bjhw->bkhw", mixing.astype(dtype), rows)
        return np.tanh(hidden.reshape(len(rows), -1).astype(dtype) @ last.T.astype(dtype))

    exact = A.astype(np.float64)
    scores = answers(exact[None])[0].astype(np.float64)
    by_hidden = ((1 - scores**2)[:, None] * last).reshape(CLASSES, *A.shape)
    gradient = by_hidden * slope(exact) + np.einsum("kj,ckhw->cjhw", mixing, by_hidden)
    expected = {
        "means": gradient.mean((2, 3)),
        "along_activations": (gradient * exact).sum((2, 3)),
        "at_positions": (gradient * exact).sum(1).reshape(CLASSES, -1),
    }
    directions = Differences(A[None], np.eye(CLASSES)[None], lambda image: answers)
    found = {kind: getattr(directions, kind)()[0].reshape(CLASSES, -1) for kind in KINDS}
    return directions, found, expected


def off(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Of each target, as a share of the size."""
    return np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)


@pytest.mark.parametrize("resting", RESTING)
@pytest.mark.parametrize("corner", CORNERS)
def test_they_are_those_of_automatic_gradients(corner: str, resting: str):
    directions, found, expected = measured(corner, resting, np.float64)
    for kind, how in zip(KINDS, directions.measured, strict=True):
        assert off(found[kind], expected[kind]).max() < 1e-5
        assert how.errors.max() < 1e-4


@pytest.mark.parametrize("resting", RESTING)
@pytest.mark.parametrize("corner", CORNERS)
def test_in_single_precision_what_they_are_off_by_is_told(corner: str, resting: str):
    directions, found, expected = measured(corner, resting, np.float32)
    for kind, how in zip(KINDS, directions.measured, strict=True):
        error = off(found[kind], expected[kind])
        assert error.max() < 0.03
        assert (how.errors[0] > 0.3 * error).all()


def test_corners_that_are_met_are_counted():
    kinks = {corner: measured(corner, "zeros and sixes", np.float64)[0].measured for corner in CORNERS}
    assert all(how.kinks for how in kinks["relu6"])
    assert kinks["relu"][0].kinks == CHANNELS  # moved all alike; along themselves zeros stay
    assert not any(how.kinks for how in (*kinks["relu"][1:], *kinks["hardswish"], *kinks["hardtanh"]))


def test_a_direction_comes_in_two_parts_only_where_it_must():
    one = np.array([[0, 6, 2, 6], [0, 1, 2, 3], [6, 6, 1, 2], [4, 1, 2, 3]], float)[:, None]
    moves = evenly(one)
    assert moves.flat.tolist() == [-1, -1, 1, 0, 1]
    assert moves.of.tolist() == [0, 1, 2, 3, 0]
    built = moves.build(np.arange(5))[:, :, 0]
    assert built.sum(axis=0).tolist() == np.ones((4, 4)).tolist(), "each activation moves once"
    assert built[4, 0].tolist() == [0, 1, 0, 1]
    assert moves.together(np.arange(5.0)[None]).tolist() == [[4, 1, 2, 3]]
    assert by_channel(one).flat.tolist() == [1, 0, 1, 0]  # zeros stay
    assert by_position(one).flat.tolist() == [1, 1, 0, 1]
    # what is negative goes down where it grows
    assert by_channel(np.clip(np.linspace(-2, 2, 8).reshape(2, 1, 4), -1, 1)).flat.tolist() == [1, 1]
    assert evenly(np.clip(np.linspace(-2, 2, 8).reshape(2, 1, 4), -1, 1)).flat.tolist() == [-1, 1]


@pytest.mark.parametrize("method", ["gradcam", "xgradcam", "hirescam"])
def test_an_onnx_graph_with_two_clamps_has_pytorchs_maps(method: str):
    w1, w2, w3 = 3 * weights(6, 3, 3, 3), weights(5, 6, 3, 3), weights(4, 5)
    nodes = [
        conv("x", "conv"),
        node("Clip", "conv zero six", "first", "first"),
        node("Clip", "first zero six", "second", "second"),
        conv("second", "last"),
        node("Relu", "last", "awake", "awake"),
        node("GlobalMaxPool", "awake", "pooled", "pooled"),
        node("Flatten", "pooled", "flat", "flat"),
        node("Gemm", "flat w3", "y", "y", transB=1),
    ]
    constants = {"conv.w": w1, "last.w": w2, "w3": w3, "zero": np.float32(0), "six": np.float32(6)}
    x = 2 * np.random.default_rng(0).standard_normal((2, 3, 12, 12)).astype(np.float32)
    found = camscope.Explainer(graph(nodes, constants, ["n", 3, 12, 12], ["y"]))(
        x, methods=method, layers="first", targets=[0, 2]
    )

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).double()

    A = functional.relu6(functional.conv2d(tensor(x), tensor(w1), padding=1)).requires_grad_()
    assert min((A == 0).sum(), (A == 6).sum()) > 20
    hidden = functional.relu(functional.conv2d(functional.relu6(A), tensor(w2), padding=1))
    logits = hidden.amax((2, 3)) @ tensor(w3).T
    for t, target in enumerate((0, 2)):
        (g,) = torch.autograd.grad(logits[:, target].sum(), A, retain_graph=True)
        maps = {
            "gradcam": (g.mean((2, 3), keepdim=True) * A).sum(1),
            "xgradcam": ((g * A).sum((2, 3)) / A.sum((2, 3)))[:, :, None, None].mul(A).sum(1),
            "hirescam": (g * A).sum(1),
        }
        expected = maps[method].detach().numpy()
        error = np.linalg.norm(to_numpy(found.raw[method, "first"])[:, t] - expected)
        assert error < 0.02 * np.linalg.norm(expected)
