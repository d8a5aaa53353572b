"""An explanation keeps its pictures: what the user writes into the input afterwards does not show."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image

import camscope
from camscope.inputs.input_images import images_of_batch

PREPROCESSING = camscope.Preprocessing(input_size=(32, 32), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def photo(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def pictures(e: camscope.Explanation) -> list[np.ndarray]:
    return [np.asarray(e.input_image(i).picture) for i in range(len(e))]


def prepared(*photos: np.ndarray) -> np.ndarray:
    light = np.stack(photos) / 255
    return ((light - PREPROCESSING.mean) / PREPROCESSING.std).transpose(0, 3, 1, 2).astype(np.float32)


@pytest.mark.parametrize("known", [True, False], ids=["preprocessing known", "stretched"])
def test_a_tensor_that_is_used_again_leaves_the_picture(known, tiny_cnn):
    explainer = camscope.Explainer(tiny_cnn, **({"preprocessing": PREPROCESSING} if known else {}))
    x = torch.from_numpy(prepared(photo(0), photo(1)))
    before = pictures(explainer(x.clone()))
    found = explainer(x)
    x.zero_()
    assert all(map(np.array_equal, pictures(found), before))
    assert len(np.unique(before[0])) > 100
    if known:
        assert np.array_equal(before[1], photo(1))
    assert all((one == one[0, 0]).all() for one in pictures(explainer(x)))


def test_an_overlay_stays_when_the_tensor_is_used_again(tiny_cnn):
    x = torch.from_numpy(prepared(photo()))
    found = camscope.explain(tiny_cnn, x)
    figure = np.asarray(found.overlay())
    x.fill_(3)
    assert np.array_equal(np.asarray(found.overlay()), figure)


@pytest.mark.parametrize(
    "wrap", [lambda p: p, Image.fromarray, lambda p: p[::-1]], ids=["array", "PIL", "turned"]
)
def test_a_photo_that_is_used_again_leaves_the_picture(wrap, tiny_cnn):
    given = wrap(photo())
    expected = np.asarray(given).copy()
    found = camscope.explain(tiny_cnn, given, preprocessing=PREPROCESSING)
    if isinstance(given, Image.Image):
        given.paste((0, 0, 0), (0, 0, 32, 32))
    else:
        given[:] = 0
    assert np.array_equal(pictures(found)[0], expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["NumPy", "PyTorch"])
def test_pictures_are_the_preprocessing_undone(library, dtype):
    x = prepared(*(photo(seed) for seed in range(20))).astype(
        dtype
    )  # more than are turned into bytes together
    images = images_of_batch(library(x), PREPROCESSING)
    images.keep()
    kept = copy.copy(x)
    x[:] = 0
    for i in range(20):
        assert np.array_equal(np.asarray(images[i].picture), PREPROCESSING.denormalise(kept[i]))


def test_blue_first_is_undone_too():
    how = camscope.Preprocessing(input_size=(32, 32), mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0), bgr=True)
    x = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    assert np.array_equal(np.asarray(images_of_batch(x, how)[0].picture), how.denormalise(x[0]))
