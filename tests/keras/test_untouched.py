"""The model leaves as it came, whatever happens; and threads do not disturb one another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
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
from tests.keras.nets import functional, noise, seeded

METHODS = ["cam", "gradcam", "ablationcam", "scorecam", "rise(n=4)"]


class Stubborn(layers.Layer):
    """Counts its calls, drops at random also in inference, and does what it is told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")
        self.seeds = keras.random.SeedGenerator(3)
        self.norm = layers.BatchNormalization()
        self.raises: BaseException | None = None
        self.waits: list[threading.Event] = []

    def build(self, shape: Any) -> None:
        self.norm.build(shape)

    def call(self, x: Any) -> Any:
        self.count.assign_add(1.0)
        if self.waits:
            entered, go_on = self.waits
            entered.set()
            go_on.wait(20)
        if self.raises is not None:
            raise self.raises
        self.add_loss(ops.sum(x))
        keras.random.uniform((1,), seed=self.seeds)
        return self.norm(x, training=True)


def stubborn() -> tuple[Any, Stubborn]:
    x, layer = keras.Input((8, 8, 2)), Stubborn(name="stubborn")
    y = layers.Conv2D(4, 3, activity_regularizer="l2", name="conv")(x)
    y = layers.Conv2D(4, 3, activation="relu", name="last")(layer(y))
    return seeded(keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(y)))), layer


X = noise(2, 8, 8, 2)


def test_nothing_of_it_changes(untouched):
    model, _ = stubborn()
    with untouched(model):
        camscope.explain(model, X, targets=[0, 1], methods=METHODS, seed=0)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit()])
@pytest.mark.parametrize("at_last", [False, True], ids=["at once", "later"])
def test_nor_after_an_error(error, at_last, untouched, monkeypatch):
    model, layer = stubborn()
    explainer = camscope.Explainer(model)
    if at_last:
        explainer(X, methods="gradcam")
    layer.raises = error
    with (
        untouched(model),
        pytest.raises(camscope.InputError if isinstance(error, ValueError) else type(error)),
    ):
        explainer(X, methods=["gradcam", "ablationcam"])
    layer.raises = None
    assert explainer(X, methods="gradcam").maps().shape[0] == 2


def test_a_run_of_the_users_own_meanwhile_is_as_always(untouched):
    """Another thread's call goes its own way, through none of what stands on the layers."""
    model, layer = stubborn()
    runtime = KerasRuntime(model, LogitsDecoder())
    runtime.run(Batch((X,)))
    plain = ops.convert_to_numpy(model.get_layer("conv")(X))
    layer.waits = [threading.Event(), threading.Event()]
    with untouched(model), ThreadPoolExecutor(1) as pool:
        mine = pool.submit(runtime.run, Batch((X,)), ["conv"])
        assert layer.waits[0].wait(20)
        assert "call" in vars(model.get_layer("conv")), "something stands there"
        theirs = ops.convert_to_numpy(model.get_layer("conv")(X))
        layer.waits[1].set()
        found = mine.result(20)
    layer.waits = []
    np.testing.assert_array_equal(theirs, plain)
    np.testing.assert_allclose(found.values["conv"], plain, atol=1e-6)


def test_threads_take_turns():
    model = functional().model
    explainer = camscope.Explainer(model)
    inputs = [noise(1, 9, 9, 2, seed=seed) for seed in range(6)]
    alone = [to_numpy(explainer(x, targets=1, methods="ablationcam").maps()) for x in inputs]
    with ThreadPoolExecutor(3) as pool:
        together = pool.map(lambda x: to_numpy(explainer(x, targets=1, methods="ablationcam").maps()), inputs)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_goes_on_as_if_nothing_had_been_explained():
    """Maps after each batch, inside of `fit`: the same losses and the same weights in the end."""

    class Looks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            camscope.explain(self.model, X, targets=0, methods=["gradcam", "ablationcam"])

    def trained(callbacks: list[Any]) -> tuple[list[float], bytes]:
        keras.utils.set_random_seed(0)
        x = keras.Input((8, 8, 2))
        y = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))
        y = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(y))
        model = keras.Model(x, layers.Dense(3, activation="softmax")(y))
        model.compile("adam", "sparse_categorical_crossentropy")
        past = model.fit(
            noise(8, 8, 8, 2), np.arange(8) % 3, batch_size=4, epochs=2, verbose=0, callbacks=callbacks
        )
        return past.history["loss"], b"".join(ops.convert_to_numpy(v).tobytes() for v in model.weights)

    assert trained([Looks()]) == trained([])


def test_a_model_never_called_is_not_built_by_it(untouched):
    model = keras.Sequential([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)])
    with untouched(model), pytest.raises(camscope.ModelError, match=r"never called.*keras\.Input"):
        camscope.explain(model, X)
    assert model.weights == []


class Late(keras.Model):
    """Has a layer that it does not call at first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.late = layers.Conv2D(4, 3, name="conv"), layers.Conv2D(4, 1, name="late")
        self.pool, self.head = layers.GlobalAveragePooling2D(), layers.Dense(3)
        self.all = False

    def call(self, x: Any) -> Any:
        x = self.conv(x)
        return self.head(self.pool(self.late(x) if self.all else x))


def test_nor_is_a_layer_of_a_model_that_was_called_without_it(untouched):
    model = Late()
    model(X)
    assert camscope.explain(model, X).maps().shape[0] == 2
    model.all = True
    with untouched(model), pytest.raises(camscope.ModelError, match=r"'late' was never called"):
        camscope.explain(model, X)
