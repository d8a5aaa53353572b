"""The whole way, from a file and a photo to maps: layouts, precisions and batches make no difference."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import camscope
from camscope.arrays import to_numpy
from camscope.cli import main
from camscope.errors import InputError, LayerError, MethodError
from camscope.images import to_photo
from camscope.models.onnx import onnx_runtime
from camscope.models.onnx.products import product
from tests.onnx.graphs import conv, convolved, graph, node, random_x, weights

HOW = camscope.Preprocessing((16, 16), (16, 16), crop="squash", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
SAID = {
    "camscope.preprocessing": json.dumps(HOW.to_dict()),
    "camscope.class_names": json.dumps(["ant", "bee", "cat", "dog"]),
}
PHOTO = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
CONSTANTS = {
    "a.w": weights(8, 3, 3, 3),
    "b.w": weights(8, 8, 3, 3),
    "fc.w": weights(8, 4),
    "minus": np.array([1, 8]),
}


def network(*, channels_last=False, batch="n", flat_by_reshape=False, dtype=np.float32):
    """Two convolutions, pooling and a linear layer."""
    first = (
        [node("Transpose", "x", "x0", perm=[0, 3, 1, 2])] if channels_last else [node("Identity", "x", "x0")]
    )
    pooled = (
        [node("GlobalAveragePool", "b_relu", "gap"), node("Reshape", "gap minus", "pooled")]
        if flat_by_reshape
        else [node("ReduceMean", "b_relu", "pooled", axes=[2, 3], keepdims=0)]
    )
    nodes = [
        *first,
        conv("x0", "a"),
        node("Relu", "a", "a_relu", "/a_relu"),
        node("MaxPool", "a_relu", "small", "/small", kernel_shape=[2, 2], strides=[2, 2]),
        conv("small", "b"),
        node("Relu", "b", "b_relu", "/b_relu"),
        *pooled,
        node("MatMul", "pooled fc.w", "logits", "/fc"),
        node("Softmax", "logits", "out", "/softmax", axis=1),
    ]
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    constants = {
        name: value.astype(dtype) if value.dtype.kind == "f" else value for name, value in CONSTANTS.items()
    }
    shape = [batch, 16, 16, 3] if channels_last else [batch, 3, 16, 16]
    return graph(nodes, constants, {"x": (kind, shape)}, ["out"], output_kind=kind, metadata=SAID)


BYTES = camscope.Preprocessing((16, 16), (16, 16), crop="squash", mean=(0,) * 3, std=(1 / 255,) * 3)


def of_bytes(*, channels_last=False, kind=np.uint8):
    """The same network on whole numbers, which it normalises itself."""
    space = (1, 1, 1, 3) if channels_last else (1, 3, 1, 1)
    inner = network(channels_last=channels_last)
    constants = {t.name: numpy_helper.to_array(t) for t in inner.graph.initializer}
    constants["mean"] = (255 * np.array(HOW.mean, np.float32)).reshape(space)
    constants["std"] = (255 * np.array(HOW.std, np.float32)).reshape(space)
    nodes = [
        node("Cast", "x", "whole", to=onnx.TensorProto.FLOAT),
        node("Sub", "whole mean", "centred"),
        node("Div", "centred std", "standard"),
    ]
    for one in inner.graph.node:
        one.input[:] = ["standard" if name == "x" else name for name in one.input]
    sizes = ["n", 16, 16, 3] if channels_last else ["n", 3, 16, 16]
    declared = {"x": (onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)), sizes)}
    said = {**SAID, "camscope.preprocessing": json.dumps(BYTES.to_dict())}
    return graph([*nodes, *inner.graph.node], constants, declared, ["out"], metadata=said)


METHODS = ["cam", "eigencam", "ablationcam", "reciprocam", "scorecam"]


@pytest.fixture(scope="module")
def expected():
    return camscope.Explainer(network())([PHOTO, PHOTO[::-1]], methods=METHODS, targets="all")


VARIANTS = {
    "channels last": network(channels_last=True),
    "fixed batch": network(batch=1),
    "fixed batch, and rows that cannot run together": network(batch=1, flat_by_reshape=True),
}


@pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS)
def test_the_same_maps(model, expected):
    e = camscope.Explainer(model)([PHOTO, PHOTO[::-1]], methods=METHODS, targets="all")
    assert e.class_names == expected.class_names == ["ant", "bee", "cat", "dog"]
    assert e.layers == expected.layers
    for method in METHODS:
        mine, theirs = to_numpy(e.maps(method)), to_numpy(expected.maps(method))
        assert np.abs(mine - theirs).max() < 1e-4 * np.abs(theirs).max(), method


@pytest.fixture(scope="module")
def of_real_numbers():
    """The maps of the network that takes bytes, where it takes them as real numbers."""
    return camscope.Explainer(of_bytes(kind=np.float32))([PHOTO, PHOTO[::-1]], methods=ALTERED, targets="all")


ALTERED = [*METHODS, "rise(n=8)", "smooth(gradcam, n=4)", "augment(cam)"]
"""Also methods that mask the input, add noise to it or flip it: what reaches the model is rounded."""


@pytest.mark.parametrize(
    "options", [{}, {"channels_last": True}, {"kind": np.int32}], ids=["bytes", "channels last", "32 bits"]
)
def test_whole_numbers(options, expected, of_real_numbers):
    explainer = camscope.Explainer(of_bytes(**options))
    e = explainer([PHOTO, PHOTO[::-1]], methods=ALTERED, targets="all")
    for method, maps in of_real_numbers.raw.items():
        assert np.abs(e.raw[method] - maps).max() <= 2e-2 * np.abs(maps).max(), method
    for method in ("cam", "eigencam", "ablationcam", "reciprocam"):
        theirs = to_numpy(expected.maps(method))
        assert np.abs(to_numpy(e.maps(method)) - theirs).max() <= 1e-5 * np.abs(theirs).max()
    x = np.stack([BYTES(to_photo(p)) for p in (PHOTO, PHOTO[::-1])])
    x = x.transpose(0, 2, 3, 1) if options.get("channels_last") else x
    for given in (x, np.rint(x).astype(np.uint8)):
        own = explainer(given, methods="cam", targets="all")
        assert own.input_size == (16, 16)
        np.testing.assert_array_equal(to_numpy(own.maps("cam")), to_numpy(e.maps("cam")))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (random_x(1, 3, 16, 16), "fractions from -.* to .*normalised already"),
        (random_x(1, 3, 16, 16) * 0 + 0.5, "fractions from 0.5 to 0.5"),
        (np.full((1, 3, 16, 16), 300.0, np.float32), "0 to 255, .* numbers from 300 to 300"),
        (np.zeros((1, 16, 16, 3), np.float32), r"uint8 \(batch, 3, 16, 16\)"),
    ],
)
def test_what_holds_no_bytes_is_refused(x, words):
    with pytest.raises(InputError, match=words):
        camscope.Explainer(of_bytes())(x)


def test_half_precision(expected):
    e = camscope.Explainer(network(dtype=np.float16))([PHOTO, PHOTO[::-1]], methods="eigencam")
    mine, theirs = to_numpy(e.maps("eigencam")), to_numpy(expected.maps("eigencam"))
    assert np.abs(mine - theirs).max() < 2e-2 * np.abs(theirs).max()


def test_cam_by_brute_force(expected):
    x = np.stack([HOW(to_photo(p)) for p in (PHOTO, PHOTO[::-1])])

    a = np.maximum(convolved(x, CONSTANTS["a.w"]), 0)
    small = a.reshape(2, 8, 8, 2, 8, 2).max((3, 5))
    b = np.maximum(convolved(small, CONSTANTS["b.w"]), 0)
    by_hand = np.einsum("ct,bchw->bthw", CONSTANTS["fc.w"], b)
    found = to_numpy(expected.maps("cam"))
    assert np.abs(found - by_hand).max() < 1e-5 * np.abs(by_hand).max()
    assert np.abs(to_numpy(expected.logits) - b.mean((2, 3)) @ CONSTANTS["fc.w"]).max() < 1e-5


def test_a_tensor_with_channels_last(expected):
    x = np.stack([HOW(to_photo(p)) for p in (PHOTO, PHOTO[::-1])]).transpose(0, 2, 3, 1)
    e = camscope.Explainer(network(channels_last=True))(x, methods="cam", targets="all")
    assert e.input_size == (16, 16)
    assert np.abs(to_numpy(e.maps("cam")) - to_numpy(expected.maps("cam"))).max() < 1e-4


def test_by_command(tmp_path, capsys):
    onnx.save(network(channels_last=True), tmp_path / "net.onnx")
    assert main(["layers", "--model", f"onnx:{tmp_path}/net.onnx"]) == 0
    out = capsys.readouterr().out
    assert "/b_relu" in out
    assert "/a_relu" in out


def test_another_size_is_refused():
    with pytest.raises(InputError, match=r"\(batch, 3, 16, 16\)"):
        camscope.Explainer(network())(random_x(1, 3, 24, 24))


def test_gradients_are_refused_with_what_works():
    with pytest.raises(MethodError, match=r"layercam.*cam, ablationcam"):
        camscope.Explainer(network())(random_x(1, 3, 16, 16), methods="layercam")


def test_a_graph_without_a_grid():
    nodes = [node("Flatten", "x", "flat"), node("MatMul", "flat fc.w", "logits", "/fc")]
    model = graph(nodes, {"fc.w": weights(48, 4)}, ["n", 3, 4, 4], ["logits"])
    with pytest.raises(LayerError, match="no layer with a spatial grid"):
        camscope.Explainer(model)(random_x(1, 3, 4, 4), methods="eigencam")


def test_weights_that_are_not_finite():
    model = network()
    bad = np.full((8, 4), np.nan, np.float32)
    for tensor in model.graph.initializer:
        if tensor.name == "fc.w":
            tensor.CopyFrom(numpy_helper.from_array(bad, "fc.w"))
    with pytest.raises(camscope.ModelError, match="NaN or infinity"):
        camscope.Explainer(model)(PHOTO, methods="eigencam")


def test_layers_are_listed_for_little_more_than_a_few_runs(monkeypatch):
    """Of a deep network no layer but the first few is followed to the scores."""
    depth, length = 12, []
    nodes, constants = [], {"fc.w": weights(4, 4)}
    for k in range(depth):
        source = f"r{k - 1}" if k else "x"
        nodes += [conv(source, f"c{k}"), node("Relu", f"c{k}", f"r{k}", f"/r{k}")]
        constants[f"c{k}.w"] = weights(4, 4 if k else 3, 3, 3, seed=k)
    nodes += [
        node("ReduceMean", f"r{depth - 1}", "pooled", axes=[2, 3], keepdims=0),
        node("MatMul", "pooled fc.w", "out", "/fc"),
    ]
    real = onnx_runtime.part_of
    monkeypatch.setattr(
        onnx_runtime,
        "part_of",
        lambda graph, cut, *rest: length.append(len(cut.nodes)) or real(graph, cut, *rest),
    )
    model = graph(nodes, constants, ["n", 3, 16, 16], ["out"])
    found, _ = camscope.Explainer(model).layers(random_x(1, 3, 16, 16))
    assert len(found) > depth
    assert all(layer.reaches for layer in found)
    assert sum(length) < 2 * len(nodes)


def test_a_layer_that_is_cut_off_behind_a_concatenation_reaches_nothing():
    """It reaches a layer that reaches the scores, but none of the channels that do."""
    constants = {name: weights(4, 4, 3, 3, seed=k) for k, name in enumerate(("left.w", "right.w", "last.w"))}
    constants |= {"stem.w": weights(4, 3, 3, 3, seed=5), "fc.w": weights(4, 4), "end": np.array([4])}
    constants |= {"start": np.array([0]), "axis": np.array([1])}
    nodes = [
        conv("x", "stem"),
        conv("stem", "left"),
        conv("stem", "right"),
        node("Concat", "left right", "both", "/both", axis=1),
        node("Sigmoid", "both", "bent", "/bent"),
        node("Slice", "bent start end axis", "first", "/first"),
        conv("first", "last"),
        node("ReduceMean", "last", "pooled", axes=[2, 3], keepdims=0),
        node("MatMul", "pooled fc.w", "out", "/fc"),
    ]
    explainer = camscope.Explainer(graph(nodes, constants, ["n", 3, 16, 16], ["out"]))
    found, _ = explainer.layers(random_x(1, 3, 16, 16))
    reach = {layer.name: layer.reaches for layer in found}
    assert {"/stem", "/left", "/both", "/last"} <= {name for name, reaches in reach.items() if reaches}
    assert [name for name, reaches in reach.items() if not reaches] == ["/right"]


def test_a_tensor_of_another_library_is_an_input_like_any_other():
    torch = pytest.importorskip("torch")
    x = random_x(2, 3, 16, 16)
    explainer = camscope.Explainer(network())
    expected = explainer(x, methods="cam", targets="all")
    found = explainer(torch.from_numpy(x).requires_grad_(), methods="cam", targets="all")
    assert np.array_equal(found.maps(), expected.maps())
    with pytest.raises(InputError, match=r"takes x: float32 \(batch, 3, 16, 16\); got shape \(3, 16, 16\)"):
        explainer(torch.from_numpy(x[0]))


@pytest.mark.parametrize(
    ("channels_last", "shape", "said"),
    [
        (True, (2, 3, 16, 16), r"Its channels come first: pass np\.moveaxis\(x, 1, -1\)"),
        (False, (2, 16, 16, 3), r"Its channels come last: pass np\.moveaxis\(x, -1, 1\)"),
        (False, (2, 3, 17, 16), r"\(batch, 3, 16, 16\)\.$"),
    ],
)
def test_channels_in_the_other_place_are_told_where_they_belong(channels_last, shape, said):
    with pytest.raises(InputError, match=said):
        camscope.Explainer(network(channels_last=channels_last))(random_x(*shape))


def test_a_list_of_arrays_says_how_several_inputs_are_given():
    with pytest.raises(
        InputError, match=r"several inputs goes into a tuple, \(a, b\), or a dictionary by name"
    ):
        camscope.Explainer(network())([random_x(1, 3, 16, 16), PHOTO])


def test_products_are_made_by_onnx_runtime():
    rng = np.random.default_rng(0)
    for dtype, tolerance in ((np.float32, 1e-6), (np.float64, 1e-14)):
        a, b = rng.standard_normal((7, 300)).astype(dtype), rng.standard_normal((9, 300)).astype(dtype).T
        found, exact = product(a, b), a.astype(float) @ b.astype(float)
        assert found.dtype == dtype
        assert (np.abs(found - exact) <= tolerance * (np.abs(a) @ np.abs(b))).all()
