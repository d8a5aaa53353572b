"""A copy of a Keras model with weights drawn anew: what is drawn, and that the user's model is left bit for bit."""

import keras
import numpy as np
import pytest

import camscope
from camscope import metrics
from camscope.arrays import to_numpy

X = np.random.default_rng(0).standard_normal((3, 16, 16, 3)).astype("float32")


def with_norm_and_shared_layer():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [
            keras.layers.Conv2D(8, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ],
        name="inner",
    )
    given = keras.Input((16, 16, 3))
    shared = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="shared")
    x = keras.layers.GlobalAveragePooling2D()(shared(shared(inner(given))))
    return keras.Model(given, keras.layers.Dense(4, name="head")(x))


@pytest.fixture(scope="module")
def seen():
    model = with_norm_and_shared_layer()
    return model, camscope.Explainer(model)


def values(model):
    return {weight.path: np.array(to_numpy(weight.value)) for weight in model.weights}


def twin_of(explainer):
    return explainer._model.adapter.runtime.model


def by_place(model):
    """Values by layer and name: a copy has paths of its own."""
    return [np.array(to_numpy(weight.value)) for weight in model.weights]


def test_every_weight_is_drawn_and_the_model_stays_bit_for_bit(seen):
    model, explainer = seen
    before = values(model)
    twin = twin_of(explainer.randomised(X, seed=1))
    after = values(model)
    assert all(np.array_equal(before[path], after[path]) for path in before)
    changed = [not np.array_equal(a, b) for a, b in zip(by_place(model), by_place(twin), strict=True)]
    zero = [not one.any() for one in by_place(model)]
    assert all(one or was_zero for one, was_zero in zip(changed, zero, strict=True))
    again, other = (twin_of(explainer.randomised(X, seed=s)) for s in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(by_place(twin), by_place(again), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(by_place(twin), by_place(other), strict=True))


def test_statistics_of_batch_norms_are_those_of_the_batch(seen):
    inner = twin_of(seen[1].randomised(X)).get_layer("inner")
    convolved = np.array(to_numpy(keras.ops.stop_gradient(inner.layers[0](X))))
    norm = inner.layers[1]
    np.testing.assert_allclose(to_numpy(norm.moving_mean.value), convolved.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(to_numpy(norm.moving_variance.value), convolved.var((0, 1, 2)), rtol=1e-4)


def test_layers_stand_in_the_order_they_run_and_the_head_alone_changes_nothing_else(seen):
    model, explainer = seen
    names = explainer.weighted_layers(X)
    assert [name.rpartition("/")[0] or name for name in names] == ["inner", "inner", "shared", "head"]
    twin = twin_of(explainer.randomised(X, head_only=True))
    same = [np.array_equal(a, b) for a, b in zip(by_place(model), by_place(twin), strict=True)]
    kernels = ["head" in weight.path and weight.name == "kernel" for weight in model.weights]
    assert all(
        one is not kernel or "bias" in w.path
        for one, kernel, w in zip(same, kernels, model.weights, strict=True)
    )


def test_maps_of_the_copy_are_compared(seen):
    _, explainer = seen
    e = explainer(X)
    head = metrics.model_randomisation(
        explainer, X, e, head_only=True, draws=2, baselines=("mean-activation",)
    )
    np.testing.assert_allclose(head["mean-activation"], 1)
    assert (head["gradcam"] < 1).all()
    assert next(iter(metrics.mprt(explainer, X, e, steps=2).beside)) == "down to head"


def test_a_class_that_does_not_tell_how_it_is_made_is_refused():
    class Own(keras.Model):
        def __init__(self, width):
            super().__init__()
            self.conv = keras.layers.Conv2D(width, 3, padding="same", activation="relu")
            self.pool = keras.layers.GlobalAveragePooling2D()
            self.head = keras.layers.Dense(3)

        def call(self, x):
            return self.head(self.pool(self.conv(x)))

        def get_config(self):
            raise NotImplementedError("no config")

    model = Own(4)
    model(X)
    with pytest.raises(camscope.ModelError, match=r"cannot be copied \(no config\).*get_config"):
        camscope.Explainer(model).randomised(X)
