"""Where the logits are, however the last softmax or sigmoid is written; and what is said where they are not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import camscope
from camscope.arrays import to_numpy
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.models.keras.keras_runtime import KerasRuntime
from camscope.models.observing import Ending
from tests.keras.nets import noise, seeded

X = noise(2, 8, 8, 2)


def body(x: Any) -> Any:
    """Four channels at 6×6 positions, and their means."""
    return layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", name="last")(x))


def functional(end: Callable[[Any], Any]) -> Any:
    x = keras.Input((8, 8, 2))
    return seeded(keras.Model(x, end(body(x))))


class Own(keras.Model):
    """Ends in a function.

    Args:
        end: from what the convolution's means are to the output.
    """

    def __init__(self, end: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.conv, self.pool = layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D()
        self.head = layers.Dense(3)
        self.end = end

    def call(self, x: Any) -> Any:
        return self.end(self, self.pool(self.conv(x)))


def own(end: Callable[[Any, Any], Any]) -> Any:
    model = Own(end)
    model(X)
    return seeded(model)


def dense(model: Any, x: np.ndarray) -> np.ndarray:
    """The logits by hand, of a model with one convolution and one dense layer."""
    every = model._flatten_layers()
    conv = next(layer for layer in every if isinstance(layer, layers.Conv2D))
    head = next(layer for layer in every if isinstance(layer, layers.Dense))
    pooled = ops.mean(conv(ops.convert_to_tensor(x)), axis=(1, 2))
    return to_numpy(ops.convert_to_numpy(ops.matmul(pooled, head.kernel) + head.bias))


SOFTMAX = {
    "of a dense layer": lambda: functional(layers.Dense(3, activation="softmax")),
    "an activation layer": lambda: functional(lambda y: layers.Activation("softmax")(layers.Dense(3)(y))),
    "a softmax layer": lambda: functional(lambda y: layers.Softmax()(layers.Dense(3)(y))),
    "an operation": lambda: functional(lambda y: ops.softmax(layers.Dense(3)(y))),
    "then another type": lambda: functional(
        lambda y: layers.Activation("linear", dtype="float32")(layers.Dense(3, activation="softmax")(y))
    ),
    "in a nested model": lambda: functional(
        keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    ),
    "a function in call": lambda: own(lambda self, y: ops.softmax(self.head(y))),
    "written out in call": lambda: own(
        lambda self, y: ops.exp(self.head(y)) / ops.sum(ops.exp(self.head(y)), axis=-1, keepdims=True)
    ),
}
SIGMOID = {
    "of a dense layer": lambda: functional(layers.Dense(3, activation="sigmoid")),
    "an activation layer": lambda: functional(lambda y: layers.Activation("sigmoid")(layers.Dense(3)(y))),
    "an operation": lambda: functional(lambda y: ops.sigmoid(layers.Dense(3)(y))),
    "a function in call": lambda: own(lambda self, y: ops.sigmoid(self.head(y))),
}


def run(model: Any) -> Any:
    return KerasRuntime(model, LogitsDecoder()).run(Batch((X,)))


@pytest.mark.parametrize("how", SOFTMAX)
def test_before_a_softmax(how):
    model = SOFTMAX[how]()
    found = run(model)
    assert found.ending.softmax
    np.testing.assert_allclose(found.logits, dense(model, X), atol=1e-5)
    powers = np.exp(found.logits)
    np.testing.assert_allclose(powers / powers.sum(1, keepdims=True), found.raw, atol=1e-6)


@pytest.mark.parametrize("how", SIGMOID)
def test_before_a_sigmoid(how):
    model = SIGMOID[how]()
    found = run(model)
    assert found.ending.sigmoid
    np.testing.assert_allclose(found.logits, dense(model, X), atol=1e-5)


def test_logits_are_left_alone():
    model = functional(layers.Dense(3))
    found = run(model)
    assert found.ending == Ending()
    np.testing.assert_allclose(found.logits, dense(model, X), atol=1e-5)


def hidden() -> Any:
    """What goes into the softmax is no layer's output: half of one's."""
    return own(lambda self, y: ops.softmax(self.head(y) / 2))


def test_where_the_logits_are_not_seen_they_are_found_up_to_their_mean():
    model = hidden()
    assert run(model).ending.probabilities
    e = camscope.explain(model, X, targets=[0, 2], methods="gradcam")
    expected = dense(model, X) / 2
    np.testing.assert_allclose(to_numpy(e.logits), expected - expected.mean(1, keepdims=True), atol=1e-5)
    assert any("logits cannot be reached" in note for note in e.notes)


def test_a_regression_that_sums_to_one_is_none_of_this():
    model = hidden()
    e = camscope.explain(model, X, targets=[0], task="regression", methods="gradcam")
    np.testing.assert_allclose(to_numpy(e.scores)[:, 0], ops.convert_to_numpy(model(X))[:, 0], atol=1e-6)


def test_numbers_between_0_and_1_that_nothing_is_known_of_are_told():
    model = own(lambda self, y: ops.sigmoid(self.head(y) / 2))
    assert run(model).ending.between_0_and_1
    notes = camscope.explain(model, X, targets=[0], methods="gradcam").notes
    assert any("between 0 and 1" in note for note in notes)


def test_an_untrained_network_has_its_logits_found_too():
    """All its probabilities are about equal, so a comparison of these would find anything."""
    x = keras.Input((8, 8, 2))
    head = layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(0, 1e-5, seed=0))
    model = keras.Model(x, layers.Softmax()(layers.ReLU()(head(body(x)))))
    met = KerasRuntime(model, LogitsDecoder()).run(Batch((X,)))
    assert met.ending.softmax
    assert met.logits.min() >= 0, "what the ReLU put out, not what the dense layer did"


def test_one_sigmoid_is_two_classes():
    model = functional(layers.Dense(1, activation="sigmoid"))
    e = camscope.explain(model, X, targets=[0, 1], methods="gradcam")
    z = dense(model, X)
    np.testing.assert_allclose(to_numpy(e.logits), np.concatenate([-z, z], axis=1), atol=1e-5)


def one_by_one(count: int, activation: str | None = None) -> Any:
    return layers.Conv2D(count, 1, activation=activation, name="head")


ONE_POSITION = {
    "a convolution": lambda y, axis: one_by_one(3)(y),
    "and a softmax": lambda y, axis: layers.Softmax(axis)(one_by_one(3)(y)),
    "and a sigmoid": lambda y, axis: one_by_one(3, "sigmoid")(y),
    "of one logit": lambda y, axis: one_by_one(1)(y),
}


@pytest.mark.parametrize("end", ONE_POSITION)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_scores_of_one_position_are_those_of_the_image(end, layout):
    """`(batch, 1, 1, class)`, as fully convolutional classifiers end: the same maps as with these axes taken off."""
    shape = (8, 8, 2) if layout == "channels_last" else (2, 8, 8)
    given = X if layout == "channels_last" else np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    keras.config.set_image_data_format(layout)
    try:
        x = keras.Input(shape)
        A = layers.Conv2D(4, 3, activation="relu", name="last")(x)
        pooled = layers.GlobalAveragePooling2D(keepdims=True)(A)
        y = ONE_POSITION[end](pooled, -1 if layout == "channels_last" else 1)
        as_it_is = seeded(keras.Model(x, y))
        flat = keras.Model(x, layers.Flatten()(y))
        assert len(as_it_is.output_shape) == 4
        methods = ["cam", "gradcam", "layercam", "ablationcam"]
        found, expected = (
            camscope.explain(model, given, methods=methods, targets=[0, 1], layers="last")
            for model in (as_it_is, flat)
        )
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-5, atol=1e-6)
    assert found.provenance["task"] == expected.provenance["task"]
    assert found.notes == expected.notes
    for key, maps in expected.raw.items():
        np.testing.assert_allclose(found.raw[key], maps, rtol=1e-4, atol=1e-6)
