"""The callback for Keras in a real fit of two epochs, on the backend that Keras has here."""

from __future__ import annotations

from itertools import pairwise

import keras
import numpy as np
import pytest

import camscope
from camscope import History, Recorder
from camscope.watching import callbacks


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            keras.layers.Conv2D(8, 3, strides=2, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.SpatialDropout2D(0.2),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="last"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3),
        ]
    )


def data() -> tuple[np.ndarray, np.ndarray]:
    """Images whose class is the place of a bright patch."""
    random = np.random.default_rng(1)
    x, y = 0.3 * random.standard_normal((48, 12, 12, 1), dtype=np.float32), np.arange(48) % 3
    for image, label in zip(x, y, strict=True):
        image[4 * label : 4 * label + 4, 4:8] += 2
    return x, y


def fit(watching: list, **options) -> tuple[keras.Model, dict[str, list[float]]]:
    model, (x, y) = network(), data()
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **options,
    )
    done = model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=watching, validation_data=(x, y))
    return model, done.history


class Weights(keras.callbacks.Callback):
    """What the model said of the samples after each step: an independent witness."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[np.ndarray] = []

    def on_train_batch_end(self, batch, logs=None):
        self.said.append(np.asarray(keras.ops.convert_to_numpy(self.model(data()[0][:3], training=False))))


def test_fit(tmp_path):
    x, y = data()
    alone, history_alone = fit([])
    watching = callbacks.keras(Recorder(tmp_path, x[:3], labels=y[:3]))
    watched, history_watched = fit([watching])
    assert history_watched == history_alone
    for a, b in zip(alone.weights, watched.weights, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(a.value), keras.ops.convert_to_numpy(b.value)), (
            a.path
        )
    for a, b in zip(alone.optimizer.variables, watched.optimizer.variables, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(a.value), keras.ops.convert_to_numpy(b.value)), (
            a.path
        )
    history = History.open(tmp_path)
    assert history.steps.tolist() == [0, 1, 2, 4, 6, 8, 12]
    assert history.epochs[history.epoch_ends].tolist() == [1, 2]
    assert (
        len(set(history.weights)) == 7
    )  # in the middle of an epoch too: JAX keeps the weights elsewhere then
    assert history.samples.layer.startswith("last")
    ends = history.at_epochs([1, 2])
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert ends.numbers(name).tolist() == pytest.approx(history_alone[name])
    assert ends.numbers("learning_rate") == pytest.approx([0.05, 0.05])


def test_each_look_is_at_the_weights_of_its_step(tmp_path):
    x, y = data()
    witness = Weights()
    fit([callbacks.keras(Recorder(tmp_path, x[:3], labels=y[:3], when=1)), witness])
    history = History.open(tmp_path)
    assert history.steps.tolist() == list(range(13))
    said = np.stack(witness.said)
    assert np.allclose(history.scores[1:, :, 0], said[:, range(3), y[:3]], atol=1e-5)
    maps = history.maps[:, :, 0].reshape(13, -1)
    assert all(not np.allclose(before, after) for before, after in pairwise(maps))


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras on PyTorch executes one step at a time")
def test_several_steps_in_one_execution(tmp_path):
    x, y = data()
    fit([callbacks.keras(Recorder(tmp_path, x[:3], labels=y[:3]))], steps_per_execution=2)
    assert History.open(tmp_path).steps.tolist() == [0, 2, 4, 6, 8, 12]


def test_what_does_not_fit_is_said_before_it_trains(tmp_path):
    x, y = data()
    with pytest.raises(camscope.InputError, match="names holds 1"):
        fit([callbacks.keras(Recorder(tmp_path, x[:3], labels=y[:3], names=["one"]))])
