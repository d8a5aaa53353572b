"""The runtime against each model's parts called by hand: what layers put out, what comes after them, gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import camscope
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.models.keras.backends import to_numpy
from camscope.models.keras.keras_runtime import KerasRuntime
from camscope.models.runtime import INPUT
from tests.keras.nets import Net, seeded


def runtime(net: Net) -> KerasRuntime:
    return KerasRuntime(net.model, LogitsDecoder())


def batch(net: Net, rows: slice = slice(None)) -> Batch:
    inputs = tuple(value[rows] for value in net.inputs)
    if net.names:
        return Batch((), dict(zip(net.names, inputs, strict=True)), net.names[0])
    return Batch(inputs)


def arrays(value: Any) -> np.ndarray:
    return to_numpy(value)


def prefix(net: Net, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
    return arrays(net.prefix(*map(keras.ops.convert_to_tensor, inputs)))


def suffix(net: Net, value: np.ndarray, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
    return arrays(net.suffix(*map(keras.ops.convert_to_tensor, (value, *inputs))))


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(1e-3, np.abs(expected).max())


def other(value: np.ndarray, seed: int = 5) -> np.ndarray:
    """Something else that the layer could put out."""
    return value + np.random.default_rng(seed).standard_normal(value.shape).astype(value.dtype)


def test_it_sees_what_a_layer_puts_out_and_the_logits(net, untouched):
    with untouched(net.model):
        run = runtime(net).run(batch(net), [net.layer])
    A = prefix(net, net.inputs)
    close(run.values[net.layer], A)
    close(run.logits, suffix(net, A, net.inputs))
    given = dict(zip(net.names, net.inputs, strict=True)) if net.names else net.inputs[0]
    raw = arrays(net.model(given, training=False))
    close(run.raw, raw)


def test_the_part_after_a_layer(net, untouched):
    A = prefix(net, net.inputs)
    with untouched(net.model):
        after = runtime(net).after(batch(net), net.layer)
        same, changed = after(A), after(other(A))
    close(same.logits, suffix(net, A, net.inputs))
    close(changed.logits, suffix(net, other(A), net.inputs))
    assert np.abs(changed.logits - same.logits).max() > 1e-3


def test_the_part_after_a_layer_for_many_variants_of_one_image(net):
    after = runtime(net).after(batch(net, slice(1, 2)), net.layer)
    inputs = tuple(value[1:2] for value in net.inputs)
    A = prefix(net, inputs)
    variants = np.concatenate([other(A, seed) for seed in range(5)])
    repeated = tuple(np.repeat(value, 5, axis=0) for value in inputs)
    close(after(variants).logits, suffix(net, variants, repeated))
    close(after(variants[:3]).logits, suffix(net, variants[:3], tuple(v[:3] for v in repeated)))


def test_what_comes_before_a_layer_does_not_run_again(net, monkeypatch):
    made = runtime(net)
    after, ran = made.after(batch(net), net.layer), []
    A = prefix(net, net.inputs)
    course = made._course(batch(net))
    at = max(n for n, call in enumerate(course) if call.layer == net.layer)
    before = {call.layer for n, call in enumerate(course) if call.end <= at} - {net.layer}
    again = {call.layer for call in course[at:]}
    for name in before - again:
        layer = made._layers[name]
        monkeypatch.setitem(vars(layer), "call", lambda *a, name=name, **k: ran.append(name))
    after(A)
    assert ran == []


@pytest.mark.parametrize("more", [False, True], ids=["one layer", "with another and the input"])
def test_gradients(net, more, untouched):
    """Along a few directions, against differences of the part after the layer by hand."""
    A, rng = prefix(net, net.inputs), np.random.default_rng(7)
    made = runtime(net)
    layers = [net.layer]
    if more:
        layers += [INPUT] if net.inputs[0].dtype.kind == "f" else []
        layers += [next(call.layer for call in reversed(made._course(batch(net))) if call.layer != net.layer)]
    by_itself = suffix(net, A, net.inputs)  # a layer's first call by hand leaves its marks
    with untouched(net.model), made.differentiated(batch(net), layers) as (run, pull_back):
        close(run.logits, by_itself)
        close(run.values[net.layer], A)
        weights = rng.standard_normal((2, *run.logits.shape)).astype(np.float32)
        slopes = [pull_back(one) for one in weights]
        again = pull_back(weights[0])
    assert set(slopes[0]) == set(layers) == set(run.values)
    np.testing.assert_array_equal(again[net.layer], slopes[0][net.layer])
    for one, slope in zip(weights, slopes, strict=True):
        for _ in range(3):
            d, step = rng.standard_normal(A.shape).astype(np.float32), 1e-2
            up, down = (suffix(net, A + sign * step * d, net.inputs) for sign in (1, -1))
            expected = (one.astype(np.float64) * (up - down)).sum() / (2 * step)
            size = np.abs(slope[net.layer] * d).sum()
            assert abs((slope[net.layer] * d).sum() - expected) <= 2e-3 * max(size, 1e-3)


def test_gradients_by_the_input(net):
    if net.inputs[0].dtype.kind != "f":
        pytest.skip("token numbers cannot be differentiated by")
    rng, made = np.random.default_rng(7), runtime(net)
    with made.differentiated(batch(net), [INPUT]) as (run, pull_back):
        weights = rng.standard_normal(run.logits.shape).astype(np.float32)
        slope = pull_back(weights)[INPUT]
    x, *rest = net.inputs
    for _ in range(3):
        d, step = rng.standard_normal(x.shape).astype(np.float32), 1e-2
        shifted = [(x + sign * step * d, *rest) for sign in (1, -1)]
        up, down = (suffix(net, prefix(net, inputs), inputs) for inputs in shifted)
        expected = (weights.astype(np.float64) * (up - down)).sum() / (2 * step)
        assert abs((slope * d).sum() - expected) <= 2e-3 * max(np.abs(slope * d).sum(), 1e-3)


@pytest.mark.parametrize("join", [keras.layers.Add, keras.layers.Concatenate])
def test_a_skip_that_is_dead_on_the_first_image_counts_for_the_next(join):
    """A ReLU that light wakes: on a black image nothing but what the layer puts out seems to count."""
    layers = keras.layers
    x = keras.Input((6, 6, 3))
    light = layers.GlobalAveragePooling2D()(x)
    a = layers.Conv2D(3, 3, name="a")(x)
    awake = layers.ReLU(threshold=20.0)(light)  # runs after the layer
    joined = join()([layers.GlobalAveragePooling2D()(a), awake])
    model = seeded(keras.Model(x, layers.Dense(2)(joined)))
    made = KerasRuntime(model, LogitsDecoder())
    black = np.zeros((1, 6, 6, 3), np.float32)
    bright = np.random.default_rng(0).uniform(0, 255, black.shape).astype(np.float32)
    for image in (black, bright):
        run = made.run(Batch((image,)), ["a"])
        after = made.after(Batch((image,)), "a")
        found = after(np.repeat(run.values["a"], 3, axis=0)).logits
        close(found, np.repeat(arrays(model(image)), 3, axis=0))


def test_models_whose_layers_have_the_same_names_are_told_apart():
    """What was found out of one says nothing of another that takes the same inputs."""
    x = np.ones((1, 8, 8, 2), np.float32)
    for size in (3, 5):
        given = keras.Input((8, 8, 2))
        y = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, size, name="same")(given))
        made = KerasRuntime(keras.Model(given, y), LogitsDecoder())
        with made.differentiated(Batch((x,)), ["same"]) as (run, pull_back):
            slope = pull_back(np.ones_like(run.logits))["same"]
        cells = (9 - size) ** 2
        close(slope, np.full((1, 9 - size, 9 - size, 4), 1 / cells, np.float32))


@pytest.mark.parametrize("channels", [(1, 3), (3, 1), (2, 3)])
def test_two_models_whose_layers_share_their_names_have_gradients_of_their_own_shape(channels):
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype(np.float32)
    for count in channels:
        photo = keras.Input((8, 8, 3))
        values = keras.layers.Conv2D(count, 3, name="shared_name")(photo)
        model = keras.Model(photo, keras.layers.Dense(4)(keras.layers.Flatten()(values)))
        found = camscope.Explainer(model)(x, layers="shared_name", methods="layercam", targets=[1])
        A = np.asarray(keras.ops.convert_to_numpy(keras.Model(photo, values)(x)))
        by = np.asarray(keras.ops.convert_to_numpy(model.layers[-1].kernel))[:, 1].reshape(A.shape[1:])
        expected = (np.maximum(by, 0) * A).sum(axis=-1)
        np.testing.assert_allclose(
            np.asarray(found.raw["layercam", "shared_name"])[:, 0], expected, rtol=1e-4, atol=1e-5
        )
