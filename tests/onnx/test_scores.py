"""Where the scores are read: before a softmax or sigmoid, however it was written; or what else is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.errors import ModelError
from camscope.models.observing import Ending
from tests.onnx.graphs import (
    RESIDUAL,
    RESIDUAL_WEIGHTS,
    batch,
    graph,
    node,
    random_x,
    residual_values,
    runtime,
)

CONSTANTS = {
    **RESIDUAL_WEIGHTS,
    "shape4": np.array([-1, 4, 1, 1]),
    "shape2": np.array([-1, 4]),
    "axis": np.array([1]),
    "two": np.float32(2),
    "one": np.float32(1),
    "scale": np.float32(1 / 256),
    "point": np.uint8(0),
}


def run(*ending, outputs=("out",), output=None, x=None):
    """A run of the residual network with this behind its logits."""
    model = graph([*RESIDUAL, *ending], CONSTANTS, ["n", 3, "h", "w"], outputs)
    return runtime(model, output).run(batch(random_x(3, 3, 6, 6) if x is None else x))


LOGITS = residual_values(random_x(3, 3, 6, 6))["logits"]

WRITTEN_OUT = (
    node("ReduceMax", "logits", "largest", axes=[1], keepdims=1),
    node("Sub", "logits largest", "less"),
    node("Exp", "less", "powers"),
    node("ReduceSum", "powers axis", "sum", keepdims=1),
    node("Div", "powers sum", "out"),
)

SOFTMAXES = {
    "softmax": (node("Softmax", "logits", "out", axis=1),),
    "last axis": (node("Softmax", "logits", "out", axis=-1),),
    "log": (node("LogSoftmax", "logits", "out", axis=1),),
    "identity": (node("Softmax", "logits", "p", axis=1), node("Identity", "p", "out")),
    "flattened": (
        node("Reshape", "logits shape4", "four"),
        node("Softmax", "four", "p", axis=1),
        node("Flatten", "p", "out"),
    ),
    "squeezed and cast": (
        node("Reshape", "logits shape4", "four"),
        node("Softmax", "four", "p", axis=1),
        node("Reshape", "p shape2", "p2"),
        node("Cast", "p2", "p3", to=11),
        node("Cast", "p3", "out", to=1),
    ),
    "quantised": (
        node("Softmax", "logits", "p", axis=1),
        node("QuantizeLinear", "p scale point", "q"),
        node("DequantizeLinear", "q scale point", "out"),
    ),
    "written out": WRITTEN_OUT,
    "written out, not made smaller": (
        node("Exp", "logits", "powers"),
        node("ReduceSum", "powers axis", "sum", keepdims=1),
        node("Div", "powers sum", "out"),
    ),
}


@pytest.mark.parametrize("ending", SOFTMAXES.values(), ids=SOFTMAXES)
def test_before_a_softmax(ending):
    found = run(*ending)
    assert found.ending == Ending(softmax=True)
    assert np.abs(found.logits - LOGITS).max() < 1e-5
    assert found.raw.shape == LOGITS.shape
    assert np.abs(found.raw - LOGITS).max() > 0.1, "and what is returned stays as it is"


def test_before_a_sigmoid():
    found = run(node("Sigmoid", "logits", "out"))
    assert found.ending == Ending(sigmoid=True)
    assert np.abs(found.logits - LOGITS).max() < 1e-5


def test_plain_logits():
    found = run(node("Identity", "logits", "out"))
    assert found.ending == Ending()
    assert (found.logits == found.raw).all()


def test_a_softmax_of_something_else_is_not_taken_back():
    """Its numbers are scaled before they are returned, so they are none of its own."""
    found = run(node("Softmax", "logits", "p", axis=1), node("Mul", "p two", "out"))
    assert not found.ending.softmax
    assert not found.ending.probabilities
    assert (found.logits == found.raw).all()


def test_a_softmax_over_another_axis_is_none():
    """Over the rows of a batch, as a file says, no row is a softmax of its own scores."""
    found = run(node("Softmax", "logits", "out", axis=0))
    assert not found.ending.softmax


def test_probabilities_that_nobody_can_take_back():
    found = run(
        node("Mul", "logits logits", "squares"),
        node("ReduceSum", "squares axis", "sum", keepdims=1),
        node("Div", "squares sum", "out"),
    )
    assert found.ending == Ending(probabilities=True)
    assert (found.logits == found.raw).all()


def test_numbers_between_0_and_1():
    found = run(
        node("Neg", "logits", "less"),
        node("Exp", "less", "power"),
        node("Add", "power one", "more"),
        node("Div", "one more", "out"),
    )
    assert found.ending == Ending(between_0_and_1=True)


def test_of_several_outputs_the_logits_are_taken_or_that_which_is_named():
    p = node("Softmax", "logits", "p", axis=1)
    found = run(p, outputs=("pooled", "logits", "p"))
    assert found.ending == Ending()
    assert found.logits is found.raw["logits"]
    assert sorted(found.raw) == ["logits", "p", "pooled"]
    named = run(p, outputs=("pooled", "logits", "p"), output="p")
    assert named.ending == Ending(softmax=True)
    assert np.abs(named.logits - LOGITS).max() < 1e-5
    with pytest.raises(ModelError, match=r"\['flat', 'p'\].*output="):
        run(p, outputs=("flat", "p"))


def test_a_function_may_make_scores():
    found = run(node("Identity", "logits", "out"), output=lambda raw: 2 * raw)
    assert found.ending == Ending()
    assert np.abs(found.logits - 2 * LOGITS).max() < 1e-5


def test_labels_are_no_scores():
    with pytest.raises(ModelError, match="whole numbers"):
        run(node("ArgMax", "logits", "out", axis=1))


def test_the_ending_is_read_after_a_layer_too():
    x = random_x(1, 3, 6, 6)
    model = graph([*RESIDUAL, *SOFTMAXES["flattened"]], CONSTANTS, ["n", 3, "h", "w"], ["out"])
    A = random_x(5, 5, 6, 6, seed=3)
    found = runtime(model).after(batch(x), "/left")(A)
    expected = residual_values(np.repeat(x, 5, 0), left=A)["logits"]
    assert found.ending == Ending(softmax=True)
    assert np.abs(found.logits - expected).max() < 1e-5
    assert np.abs(found.raw.sum(1) - 1).max() < 1e-5


def test_scores_of_every_position_with_channels_last():
    nodes = [
        *RESIDUAL[:8],
        node("Transpose", "block", "last", perm=[0, 2, 3, 1]),
        node("Softmax", "last", "out", axis=-1),
    ]
    found = runtime(graph(nodes, CONSTANTS, ["n", 3, "h", "w"], ["out"])).run(batch(random_x(2, 3, 6, 5)))
    assert found.ending == Ending(softmax=True)
    expected = residual_values(random_x(2, 3, 6, 5))["block"].transpose(0, 2, 3, 1)
    assert np.abs(found.logits - expected).max() < 1e-5
