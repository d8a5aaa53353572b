"""Rollout on graphs with softmaxes over tokens, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

import camscope
from camscope.arrays import to_numpy
from camscope.errors import MethodError, ModelError
from tests.onnx.graphs import graph, node, random_x, residual, runtime, weights

HEADS, WIDTH, PATCH = 2, 8, 4
LAYERS = 2


def transformer(reads: str):
    """Patches of 4², a class token, two blocks of attention with two heads, and a head that reads some tokens."""
    nodes = [
        node("Conv", "x patch.w", "patches", "/patch", strides=[PATCH, PATCH]),
        node("Shape", "patches", "size"),
        node("Slice", "size zero two", "size2"),
        node("Concat", "size2 minus", "size3", axis=0),
        node("Reshape", "patches size3", "flat"),
        node("Transpose", "flat", "ordered", perm=[0, 2, 1]),
        node("Slice", "size zero one", "rows"),
        node("Concat", "rows ones", "cls_shape", axis=0),
        node("Expand", "cls cls_shape", "cls_rows"),
        node("Concat", "cls_rows ordered", "t0", "/tokens", axis=1),
    ]
    constants = {
        "patch.w": weights(WIDTH, 3, PATCH, PATCH),
        "cls": weights(1, 1, WIDTH),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "minus": np.array([-1]),
        "ones": np.array([1, WIDTH]),
        "split": np.array([0, 0, HEADS, WIDTH // HEADS]),
        "join": np.array([0, 0, WIDTH]),
        "root": np.float32((WIDTH // HEADS) ** -0.5),
        "fc.w": weights(WIDTH, 5),
        "first": np.array(0),
    }
    for i in range(LAYERS):
        for seed, part in enumerate("qkvo"):
            constants[f"{part}{i}.w"] = weights(WIDTH, WIDTH, seed=10 * i + seed) * np.float32(0.5)
            if part != "o":
                nodes += [
                    node("MatMul", f"t{i} {part}{i}.w", f"{part}{i}"),
                    node("Reshape", f"{part}{i} split", f"{part}{i}s"),
                    node(
                        "Transpose",
                        f"{part}{i}s",
                        f"{part}{i}h",
                        perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3],
                    ),
                ]
        nodes += [
            node("MatMul", f"q{i}h k{i}h", f"raw{i}"),
            node("Mul", f"raw{i} root", f"scaled{i}"),
            node("Softmax", f"scaled{i}", f"p{i}", f"/softmax{i}", axis=-1),
            node("MatMul", f"p{i} v{i}h", f"mixed{i}"),
            node("Transpose", f"mixed{i}", f"mixed{i}t", perm=[0, 2, 1, 3]),
            node("Reshape", f"mixed{i}t join", f"joined{i}"),
            node("MatMul", f"joined{i} o{i}.w", f"out{i}"),
            node("Add", f"t{i} out{i}", f"t{i + 1}", f"/block{i}"),
        ]
    last = f"t{LAYERS}"
    nodes += {
        "cls": [node("Gather", f"{last} first", "read", axis=1)],
        "mean": [node("ReduceMean", last, "read", axes=[1], keepdims=0)],
    }[reads]
    nodes.append(node("MatMul", "read fc.w", "logits", "/fc"))
    return graph(nodes, constants, ["n", 3, 16, 24], ["logits"]), constants


def rollout(x, constants, reads):
    """Abnar & Zuidema, in double precision; from the logits of the same run."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (PATCH, PATCH), axis=(2, 3))
    patches = np.einsum("bchwij,ocij->bohw", windows[:, :, ::PATCH, ::PATCH], constants["patch.w"])
    tokens = patches.reshape(len(x), WIDTH, -1).transpose(0, 2, 1)
    tokens = np.concatenate([np.broadcast_to(constants["cls"], (len(x), 1, WIDTH)), tokens], axis=1)
    n = tokens.shape[1]
    rolled = np.eye(n)[None]
    for i in range(LAYERS):
        q, k, v = (
            (tokens @ constants[f"{part}{i}.w"]).reshape(len(x), n, HEADS, -1).transpose(0, 2, 1, 3)
            for part in "qkv"
        )
        raw = np.exp(q @ k.transpose(0, 1, 3, 2) * (WIDTH // HEADS) ** -0.5)
        p = raw / raw.sum(-1, keepdims=True)
        tokens = tokens + (p @ v).transpose(0, 2, 1, 3).reshape(len(x), n, WIDTH) @ constants[f"o{i}.w"]
        rolled = (p.mean(1) + np.eye(n)) / 2 @ rolled
    row = rolled[:, 0] if reads == "cls" else rolled.mean(1)
    read = tokens[:, 0] if reads == "cls" else tokens.mean(1)
    return row[:, 1:].reshape(len(x), 4, 6), read @ constants["fc.w"]


@pytest.mark.parametrize("reads", ["cls", "mean"])
def test_rollout(reads):
    model, constants = transformer(reads)
    x = random_x(2, 3, 16, 24)
    assert runtime(model).attention_layers == ["/softmax0", "/softmax1"]
    e = camscope.Explainer(model)(x, methods=["rollout", "attention"])
    expected, logits = rollout(x, constants, reads)
    assert np.abs(to_numpy(e.logits) - logits).max() < 1e-5 * np.abs(logits).max()
    found = to_numpy(e.maps("rollout"))[:, 0]
    scale = (found * expected).sum() / (expected**2).sum()
    assert np.abs(found - scale * expected).max() < 1e-5 * np.abs(found).max()


def test_a_network_without_attention_is_offered_none():
    model = residual()
    assert runtime(model).attention_layers == []
    with pytest.raises((MethodError, ModelError), match="attention"):
        camscope.Explainer(model)(random_x(1, 3, 16, 16), methods="rollout")


def test_methods_that_differentiate_attention_are_refused():
    with pytest.raises(MethodError, match=r"chefer needs.*rollout"):
        camscope.Explainer(transformer("cls")[0])(random_x(1, 3, 16, 24), methods="chefer")
