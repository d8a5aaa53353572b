"""Runs of a graph and of the part after each of its layers, against brute force in NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from camscope.errors import InputError, LayerError, ModelError
from camscope.models.onnx.cutting import cut_after
from camscope.models.onnx.row_by_row import Together
from camscope.models.onnx.sessions import MOST
from tests.onnx.graphs import (
    RESIDUAL,
    RESIDUAL_WEIGHTS,
    batch,
    conv,
    convolved,
    graph,
    node,
    random_x,
    residual,
    residual_values,
    runtime,
    weights,
)

LAYERS = [name for name in residual_values(random_x(1, 3, 4, 4)) if name not in ("logits",)]


def close(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.fixture(scope="module")
def ready():
    return runtime(residual())


def test_every_layer_is_seen(ready):
    x = random_x(3, 3, 8, 6)
    run = ready.run(batch(x), None)
    expected = residual_values(x)
    close(run.logits, expected["logits"])
    assert [part.name for part in ready.parts() if part.name in run.values] == list(run.values)
    for name in LAYERS:
        close(run.values[f"/{name}"], expected[name])
    assert list(ready.run(batch(x), ["/block", "/left"]).values) == ["/left", "/block"]
    assert ready.run(batch(x)).values == {}


@pytest.mark.parametrize("layer", LAYERS)
def test_the_part_after_a_layer_runs_on_any_number_of_variants_of_one_image(ready, layer):
    x = random_x(1, 3, 8, 6)
    shape = residual_values(x)[layer].shape[1:]
    rows = random_x(7, *shape, seed=2)
    found = ready.after(batch(x), f"/{layer}")(rows)
    close(found.logits, residual_values(np.repeat(x, 7, 0), **{layer: rows})["logits"])
    one = ready.after(batch(x), f"/{layer}")(rows[3:4])
    close(one.logits, found.logits[3:4])


@pytest.mark.parametrize("layer", ["left", "right", "block", "gated", "flat"])
def test_and_on_one_row_for_each_image_with_what_is_beside_it(ready, layer):
    x = random_x(3, 3, 8, 6)
    rows = random_x(*residual_values(x)[layer].shape, seed=3)
    close(ready.after(batch(x), f"/{layer}")(rows).logits, residual_values(x, **{layer: rows})["logits"])


def test_nothing_runs_again_that_does_not_come_after_the_layer(ready):
    cut = cut_after(ready.graph, "left", ["logits"])
    assert cut.kept == ("right",)
    assert not {"/stem", "/left", "/right"} & {one.name for one in cut.nodes}
    assert {"/left_relu", "/added", "/fc"} <= {one.name for one in cut.nodes}


def test_a_layer_that_does_not_feed_the_scores_changes_nothing():
    model = residual()
    model.graph.node.append(node("Relu", "left", "aside", "/aside"))
    ready, x = runtime(model), random_x(1, 3, 6, 6)
    rows = random_x(4, 5, 6, 6)
    found = ready.after(batch(x), "/aside")(rows).logits
    close(found, np.repeat(residual_values(x)["logits"], 4, 0))


def test_the_scores_themselves_can_be_given(ready):
    rows = random_x(5, 4)
    assert (ready.after(batch(random_x(1, 3, 6, 6)), "/fc")(rows).logits == rows).all()


# ------------------------------------------------------------------ names


def test_layers_have_the_names_of_nodes_and_else_of_what_they_put_out(ready):
    names = [part.name for part in ready.parts()]
    assert names[:3] == ["/stem", "/stem_relu", "/left"]
    assert len(set(names)) == len(names)
    assert "shape" not in names
    assert "rows" not in names, "what follows from the shape alone is no layer"
    model = residual()
    for one in model.graph.node:
        one.name = "same" if one.op_type == "Relu" else one.name
    names = [part.name for part in runtime(model).parts()]
    assert names[:4] == ["/stem", "stem_relu", "/left", "left_relu"]
    model.graph.node[0].name = "n4_33"
    assert runtime(model).parts()[0].name == "stem"


def test_kinds_are_operators(ready):
    parts = {part.name: part for part in ready.parts()}
    assert parts["/left"].kind == "Conv"
    assert parts["/left"].keeps_axes
    assert parts["/left"].outline
    assert parts["/squeezed"].pools
    assert not parts["/block"].pools
    assert not parts["/flat"].keeps_axes
    assert not parts["/gated"].outline


def test_a_node_stands_for_its_layer(ready):
    assert ready.name_of(ready.graph.proto.node[2]) == "/left"
    assert ready.name_of("left2") == "/left2"
    assert ready.name_of(onnx.ValueInfoProto(name="block")) == "/block"
    assert ready.name_of(object()) is None
    assert ready.name_of(onnx.NodeProto()) is None


def test_the_nearest_name_is_told(ready):
    with pytest.raises(LayerError, match="Did you mean '/left"):
        ready.after(batch(random_x(1, 3, 4, 4)), "/lefd")


# ------------------------------------------------------------------ what it takes


def fixed_reshape(size: int, rows: int) -> onnx.ModelProto:
    """The residual network, whose export took the batch for a constant."""
    nodes = [one for one in RESIDUAL if one.op_type not in ("Shape", "Gather", "Unsqueeze", "Concat")]
    constants = {**RESIDUAL_WEIGHTS, "flat_shape": np.array([rows, 8])}
    return graph(nodes, constants, [rows, 3, size, size], ["logits"])


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("given", [1, 2, 5])
def test_a_batch_that_is_a_constant_is_run_in_such_batches(rows, given):
    ready, x = runtime(fixed_reshape(6, rows)), random_x(given, 3, 6, 6)
    expected = residual_values(x)
    run = ready.run(batch(x), None)
    close(run.logits, expected["logits"])
    close(run.values["/left"], expected["left"])
    after = ready.after(batch(x), "/left")(expected["left"] * 0.5)
    close(after.logits, residual_values(x, left=expected["left"] * 0.5)["logits"])
    variants = ready.after(batch(x[:1]), "/left")(expected["left"])
    close(variants.logits, residual_values(np.repeat(x[:1], given, 0), left=expected["left"])["logits"])


def test_a_batch_that_is_only_declared_runs_together():
    ready = runtime(residual(batch=1, size=6))
    x = random_x(4, 3, 6, 6)
    close(ready.run(batch(x)).logits, residual_values(x)["logits"])
    assert ready._whole.allowed


def mixing() -> onnx.ModelProto:
    """Takes any batch, and divides by the largest value in all of it."""
    nodes = [
        conv("x", "body"),
        node("ReduceMax", "body", "largest", keepdims=0),
        node("Div", "body largest", "divided", "/divided"),
        node("ReduceMean", "divided", "logits", "/pool", axes=[2, 3], keepdims=0),
    ]
    return graph(nodes, {"body.w": weights(4, 3, 3, 3)}, ["n", 3, "h", "w"], ["logits"])


@pytest.mark.parametrize(("offset", "mixes"), [(7000.0, True), (7000.0, False), (0.0, True)])
def test_a_large_number_hides_no_mixing_in_a_small_one(offset, mixes):
    """A price of thousands beside a share of the whole batch, or beside a number that rounding alone moves."""
    x = np.array([1.0, -2.0, 0.5, 3.0])

    def run(some: np.ndarray) -> dict[str, np.ndarray]:
        own = x[some]
        small = np.exp(own) / np.exp(own).sum() if mixes else own * (1 + 1e-7 * len(own))
        return {"scores": np.stack([offset + own, small], 1).astype(np.float32)}

    together = Together()
    found = together.run(run, 4, ["scores"])["scores"]
    assert together.allowed is not mixes
    if mixes:
        assert (found[:, 1] == 1).all()


def test_rows_that_would_mix_run_one_by_one():
    ready, x = runtime(mixing()), random_x(3, 3, 6, 6)

    def one(body):
        return (body / body.max()).mean((2, 3))

    bodies = [convolved(x[i : i + 1], weights(4, 3, 3, 3)) for i in range(3)]
    expected = np.concatenate([one(body) for body in bodies])
    close(ready.run(batch(x)).logits, expected)
    assert ready._whole.allowed is False
    after = ready.after(batch(x[:1]), "/body")
    close(after(np.concatenate([bodies[0]] * 2)).logits, np.repeat(expected[:1], 2, 0))
    close(after(np.concatenate(bodies)).logits, expected)  # equal rows did not show that others mix


def test_another_size_than_the_graphs_own_is_refused():
    ready = runtime(residual(size=8))
    with pytest.raises(InputError, match=r"\(batch, 3, 8, 8\)") as told:
        ready.run(batch(random_x(1, 3, 6, 6)))
    assert "(1, 3, 6, 6)" in str(told.value)


def test_what_the_runtime_refuses_is_told():
    nodes = [node("Flatten", "x", "flat"), node("MatMul", "flat fc.w", "logits")]
    model = graph(nodes, {"fc.w": weights(48, 4)}, ["n", 3, "h", "w"], ["logits"])
    runtime(model).run(batch(random_x(1, 3, 4, 4)))
    with pytest.raises(InputError, match=r"does not run on x \(1, 3, 5, 5\). net takes x: .* says: .*MatMul"):
        runtime(model).run(batch(random_x(1, 3, 5, 5)))


def two_inputs() -> onnx.ModelProto:
    nodes = [
        conv("x", "body"),
        node("ReduceMean", "body", "pooled", axes=[2, 3], keepdims=0),
        node("Concat", "pooled age", "both", axis=1),
        node("MatMul", "both fc.w", "logits", "/fc"),
    ]
    constants = {"body.w": weights(4, 3, 3, 3), "fc.w": weights(3, 6).T.copy()[:, :]}
    inputs = {"x": (1, ["n", 3, "h", "w"]), "age": (1, ["n", 2])}
    return graph(nodes, constants, inputs, ["logits"])


def test_several_inputs_go_by_position_or_name():
    ready = runtime(two_inputs())
    x, age = random_x(3, 3, 5, 5), random_x(3, 2)
    by_name = ready.run(batch(age=age, x=x)).logits
    assert (by_name == ready.run(batch(x, age)).logits).all()
    found = ready.after(batch(x[:1], age[:1]), "/body")(random_x(4, 4, 5, 5))
    pooled = random_x(4, 4, 5, 5).mean((2, 3))
    close(found.logits, np.concatenate([pooled, np.repeat(age[:1], 4, 0)], 1) @ weights(3, 6).T)
    with pytest.raises(InputError, match="age is missing"):
        ready.run(batch(x))
    with pytest.raises(InputError, match=r"no input 'ages'\. Did you mean 'age'"):
        ready.run(batch(x=x, ages=age))
    with pytest.raises(InputError, match="3 inputs were given"):
        ready.run(batch(x, age, age))


def test_tokens():
    nodes = [
        node("Gather", "table tokens", "embedded", "/embed", axis=0),
        node("Relu", "embedded", "active", "/relu"),
        node("ReduceMean", "active", "pooled", "/pool", axes=[1], keepdims=0),
        node("MatMul", "pooled fc.w", "logits", "/fc"),
    ]
    constants = {"table": weights(20, 6), "fc.w": weights(3, 6).T.copy()}
    inputs = {"tokens": (onnx.TensorProto.INT64, ["n", "t"])}
    ready = runtime(graph(nodes, constants, inputs, ["logits"]))
    tokens = np.arange(10).reshape(2, 5)
    expected = np.maximum(weights(20, 6)[tokens], 0)
    run = ready.run(batch(tokens), None)
    close(run.values["/relu"], expected)
    close(run.logits, expected.mean(1) @ weights(3, 6).T)
    assert ready.is_tensor(tokens)
    assert not ready.is_tensor(random_x(2, 5))
    assert not ready.is_tensor("a text")


def test_half_precision():
    model = residual()
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float16), tensor.name))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    ready, x = runtime(model), random_x(2, 3, 6, 6)
    assert ready.dtype == np.float16
    run = ready.run(batch(x), ["/left"])
    assert run.values["/left"].dtype == np.float16
    expected = residual_values(x)
    close(run.logits.astype(np.float32), expected["logits"], 5e-3)
    after = ready.after(batch(x), "/left")(expected["left"])  # in single precision, as methods have it
    close(after.logits.astype(np.float32), expected["logits"], 5e-3)


def test_what_is_a_tensor(ready):
    assert ready.is_tensor(random_x(1, 3, 4, 4))
    assert not ready.is_tensor(random_x(3, 4, 4)), "a photo"
    assert not ready.is_tensor(np.zeros((2, 4, 4, 3), np.uint8)), "photos"


def test_gradients_are_refused(ready):
    assert not ready.differentiates
    with pytest.raises(ModelError, match="forward only"):
        ready.differentiated(batch(random_x(1, 3, 4, 4)), ["/left"])


def test_the_users_model_may_change_afterwards():
    model = residual()
    ready, x = runtime(model), random_x(1, 3, 6, 6)
    first = ready.describe()
    before = model.SerializeToString(deterministic=True)
    ready.run(batch(x), None)
    ready.after(batch(x), "/left")(residual_values(x)["left"])
    assert model.SerializeToString(deterministic=True) == before
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights(6, 3, 3, 3) + 1, "stem.w"))
    close(ready.run(batch(x), ["/left2"]).logits, residual_values(x)["logits"])
    assert runtime(model).describe()["weights_sha256"] != first["weights_sha256"]


def test_what_it_is(ready):
    assert ready.describe() == {
        "model": "net",
        "framework": f"onnxruntime {onnxruntime.__version__}",
        "device": "cpu",
        "dtype": "float32",
        "opset": {"ai.onnx": 17},
        "weights_sha256": ready.describe()["weights_sha256"],
    }
    assert len(ready.describe()["weights_sha256"]) == 64


def test_sessions_are_bounded(ready):
    x = random_x(1, 3, 4, 4)
    for layer, other in itertools.islice(itertools.combinations(LAYERS, 2), MOST + 2):
        ready.run(batch(x), [f"/{layer}", f"/{other}"])
    assert len(ready._sessions._kept) == MOST


def test_what_lies_between_two_layers(ready):
    x = random_x(1, 3, 8, 6)
    rows = random_x(5, *residual_values(x)["left"].shape[1:], seed=2)
    between = ready.between(batch(x), "/left", "/excited")
    close(between(rows), residual_values(np.repeat(x, 5, 0), left=rows)["excited"])
    assert ready.between(batch(x), "/left", "/right") is None
    assert ready.between(batch(x), "/block", "/stem") is None


def test_an_image_that_was_looked_at_is_not_run_again(monkeypatch):
    own = runtime(residual())
    one = batch(random_x(1, 3, 8, 6))
    own.run(one, None)
    monkeypatch.setattr(own._sessions, "of", lambda *_: pytest.fail("it is run again"))
    close(own.run(one, ["/block"]).values["/block"], residual_values(one.given)["block"])
    with pytest.raises(pytest.fail.Exception):
        own.run(batch(one.given), ["/block"])
