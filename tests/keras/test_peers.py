"""tf-keras-vis: the same maps where it runs, and what its users report as broken."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import camscope
from camscope.arrays import to_numpy
from tests.keras import nets
from tests.keras.nets import noise, seeded

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf-keras-vis runs on TensorFlow only: make keras"
)


def flat() -> keras.Model:
    """A flat functional model, which tf-keras-vis takes."""
    x = keras.Input((9, 9, 2))
    y = layers.Conv2D(5, 3, activation="relu", name="last")(layers.Conv2D(4, 3, activation="relu")(x))
    return seeded(keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(y))))


@on_tensorflow
@pytest.mark.parametrize("method", ["gradcam", "gradcam++-official"])
def test_the_same_maps(method):
    peers = pytest.importorskip("tf_keras_vis.gradcam")
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

    kind = {"gradcam": peers.Gradcam, "gradcam++-official": GradcamPlusPlus}[method]
    model, x = flat(), noise(2, 9, 9, 2)
    theirs = kind(model, clone=True)(
        lambda out: out[:, 1], x, penultimate_layer="last", normalize_cam=False, expand_cam=False
    )
    ours = camscope.explain(model, x, targets=1, methods=method, layers="last").raw[method, "last"]
    mine = np.maximum(to_numpy(ours)[:, 0], 0)
    scaled = [maps / maps.max(axis=(1, 2), keepdims=True) for maps in (mine, np.asarray(theirs))]
    np.testing.assert_allclose(*scaled, atol=1e-5)


def softmax_as_an_operation() -> keras.Model:
    model = flat()
    return keras.Model(model.input, ops.softmax(model.output))


def after_loading(tmp_path) -> keras.Model:
    """A model that was saved, and is never called after it was loaded."""
    nets.sequential().model.save(tmp_path / "m.keras")
    return keras.saving.load_model(tmp_path / "m.keras")


REPORTED = {
    # what: where it was reported, a model, its inputs, whether tf-keras-vis 0.8.7 fails on it (on Keras 3.15)
    "Sequential": ("keras-io#1903", lambda _: nets.sequential().model, (9, 9, 2), False),
    "nested": ("tf-explain#138, #165, tf-keras-vis#71", lambda _: nets.nested().model, (9, 9, 2), True),
    "subclassed": ("tensorflow#44462", lambda _: nets.subclassed().model, (6, 6, 2), True),
    "softmax as an operation": ("", lambda _: softmax_as_an_operation(), (9, 9, 2), False),
    "never called after loading": ("keras#20116", after_loading, (9, 9, 2), True),
}


@pytest.mark.parametrize("what", REPORTED)
def test_what_is_reported_as_broken_gives_maps_here(what, tmp_path):
    _, make, shape, _ = REPORTED[what]
    model, x = make(tmp_path), noise(1, *shape)
    e = camscope.explain(model, x, targets=0, methods=["gradcam", "ablationcam"])
    for maps in e.raw.values():
        assert np.isfinite(maps).all()
        assert np.abs(maps).max() > 0


@on_tensorflow
@pytest.mark.parametrize("what", [what for what, (*_, broken) in REPORTED.items() if broken])
def test_and_is_broken_there(what, tmp_path):
    peers = pytest.importorskip("tf_keras_vis.gradcam")
    _, make, shape, _ = REPORTED[what]
    model = make(tmp_path)
    with pytest.raises((AttributeError, ValueError, NotImplementedError, TypeError)):
        peers.Gradcam(model, clone=True)(lambda out: out[:, 0], noise(1, *shape), penultimate_layer=-1)
