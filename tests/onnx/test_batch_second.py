"""Graphs that hold their tokens with the batch second, as exports of PyTorch's transformers do: maps of their twins."""

from __future__ import annotations

import numpy as np
import pytest

import camscope
from camscope.arrays import to_numpy
from tests.onnx.graphs import graph, node, random_x, weights

WIDTH, PATCH, SIZE = 8, 4, (24, 20)
METHODS = ["hirescam", "gradcam", "eigencam", "ablationcam", "reciprocam", "scorecam"]


def transformer(second: bool, rows="n", reads: str = "mean"):
    """Patches of 4², a class token, and two blocks: attention with one head, then a layer of each token by itself.

    Args:
        second: whether the tokens have their batch second.
        rows: the batch that the graph is made for; `n` for any.
        reads: what the head reads: the tokens' `mean`, or the class token, `cls`.
    """
    turned = [1, 0, 2] if second else [0, 1, 2]
    positions = SIZE[0] // PATCH * SIZE[1] // PATCH
    nodes = [
        node("Conv", "x patch.w", "patches", "/patch", strides=[PATCH, PATCH]),
        node("Reshape", "patches flat_shape", "flat"),
        node("Transpose", "flat", "ordered", perm=[0, 2, 1]),
        node("Slice", "ordered zero one axis", "some"),
        node("Mul", "some nothing", "none"),
        node("Add", "none cls", "cls_rows"),
        node("Concat", "cls_rows ordered", "both", axis=1),
        node("Add", "both places", "tokens"),
        node("Transpose", "tokens", "t0", "/tokens", perm=turned),
    ]
    constants = {
        "patch.w": weights(WIDTH, 3, PATCH, PATCH) * np.float32(2),
        "flat_shape": np.array([0 if rows == "n" else rows, WIDTH, positions]),
        "cls": weights(1, 1, WIDTH),
        "places": weights(1, positions + 1, WIDTH, seed=7),
        "nothing": np.float32(0),
        "zero": np.array([0]),
        "one": np.array([1]),
        "axis": np.array([1]),
        "root": np.float32(WIDTH**-0.5),
        "fc.w": weights(WIDTH, 5, seed=9),
        "fc.b": -(weights(5, 1).ravel() ** 2) - 1,
        "first": np.array(0),
    }
    for i in range(2):
        for seed, part in enumerate("qkvom"):
            constants[f"{part}{i}.w"] = weights(WIDTH, WIDTH, seed=10 * i + seed)
        for part in "qkv":
            nodes += [
                node("MatMul", f"t{i} {part}{i}.w", f"{part}{i}"),
                node("Transpose", f"{part}{i}", f"{part}{i}b", perm=turned),
            ]
        nodes += [
            node("Transpose", f"k{i}b", f"k{i}t", perm=[0, 2, 1]),
            node("MatMul", f"q{i}b k{i}t", f"raw{i}"),
            node("Mul", f"raw{i} root", f"scaled{i}"),
            node("Softmax", f"scaled{i}", f"p{i}", f"/softmax{i}", axis=-1),
            node("MatMul", f"p{i} v{i}b", f"mixed{i}"),
            node("Transpose", f"mixed{i}", f"back{i}", perm=turned),
            node("MatMul", f"back{i} o{i}.w", f"out{i}"),
            node("Add", f"t{i} out{i}", f"a{i}", f"/attended{i}"),
            node("MatMul", f"a{i} m{i}.w", f"m{i}", f"/mlp{i}"),
            node("Tanh", f"m{i}", f"bent{i}", f"/bent{i}"),
            node("Add", f"a{i} bent{i}", f"t{i + 1}", f"/block{i}"),
        ]
    tokens = 0 if second else 1
    if reads == "mean":
        nodes.append(node("ReduceMean", "t2", "read", axes=[tokens], keepdims=0))
    else:
        nodes.append(node("Gather", "t2 first", "read", axis=tokens))
    nodes += [node("MatMul", "read fc.w", "scores"), node("Add", "scores fc.b", "logits", "/fc")]
    return graph(nodes, constants, [rows, 3, *SIZE], ["logits"])


@pytest.mark.parametrize("reads", ["mean", "cls"])
@pytest.mark.parametrize("rows", ["n", 1], ids=["any batch", "a batch of one"])
@pytest.mark.parametrize("images", [1, 3])
def test_the_maps_are_those_of_the_same_with_its_batch_first(rows, images, reads):
    x, maps = random_x(images, 3, *SIZE), []
    for second in (False, True):
        explainer = camscope.Explainer(transformer(second, rows, reads))
        chosen = explainer(x)
        layers, _ = explainer.layers(x)
        assert chosen.layers == (("/block1" if reads == "mean" else "k1t"),)
        named = ["/attended0", "/mlp1", "/block1"] if reads == "mean" else ["/attended0", "/block0"]
        maps.append(explainer(x, methods=METHODS, layers=named, targets=[0, 3]).raw)
        maps[-1]["chosen"] = chosen.raw["gradcam", chosen.layers[0]]
        by_name = {layer.name: layer.grid for layer in layers}
        assert by_name["/block0"].describe() == "6×5 tokens + 1 prefix" + " (batch second)" * second
    for key, first in maps[0].items():
        first, found = to_numpy(first), to_numpy(maps[1][key])
        assert np.abs(found - first).max() <= 2e-3 * max(np.abs(first).max(), 0.5), key


def test_attention_is_followed_through_it_too():
    x = random_x(2, 3, *SIZE)
    first, found = (
        to_numpy(camscope.Explainer(transformer(second, reads="cls"))(x, methods="rollout").maps())
        for second in (False, True)
    )
    assert np.abs(found - first).max() <= 1e-5 * np.abs(first).max()
