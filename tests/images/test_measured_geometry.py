"""Where a photo's pixels land, measured: as it is known where it is known; what does something else is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from camscope.errors import InputError
from camscope.images import Preprocessing, measure

SIZES = [(301, 404), (64, 48), (500, 120), (900, 1200)]

KNOWN = {
    "crop": Preprocessing((96, 96), 110),
    "bicubic": Preprocessing((96, 96), 104, interpolation="bicubic"),
    "squash": Preprocessing((96, 80), (96, 80), crop="squash"),
    "pad": Preprocessing((96, 128), (96, 128), crop="border"),
    "blue first": Preprocessing((96, 96), 96, bgr=True),
    "as it is": Preprocessing((300, 300)),
    "grey": Preprocessing((96, 96), 110, mean=(0.5,), std=(0.5,)),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("how", KNOWN)
def test_it_is_the_geometry_that_is_known(how, size):
    preprocessing = KNOWN[how]
    found, known = measure(preprocessing, size).geometry, preprocessing.geometry(size)
    assert found.input_size == known.input_size
    for corner in ((0, 0), known.input_size):
        np.testing.assert_allclose(known.to_input(*found.to_photo(*corner)), corner, atol=0.25)


def test_black_and_white_are_what_is_made_of_them():
    preprocessing = Preprocessing((32, 32), 32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.1))
    found = measure(preprocessing, (40, 50))
    np.testing.assert_allclose(found.dark, [-0.5 / 0.2, -0.4 / 0.3, -0.3 / 0.1], rtol=1e-5)
    np.testing.assert_allclose(found.light, [0.5 / 0.2, 0.6 / 0.3, 0.7 / 0.1], rtol=1e-5)


def plain(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.resize((64, 64)), dtype=np.float64).transpose(2, 0, 1) / 255


ODD: dict[str, tuple[Callable[[Image.Image], np.ndarray], str]] = {
    "turned": (lambda picture: plain(picture)[:, ::-1], "does not only resize, crop and pad"),
    "transposed": (lambda picture: plain(picture).swapaxes(1, 2), "does not only resize, crop and pad"),
    "in tiles": (
        lambda picture: np.concatenate([plain(picture)[..., 32:], plain(picture)[..., :32]], axis=2),
        "does not only resize, crop and pad",
    ),
    "mirrored padding": (
        lambda picture: np.pad(plain(picture), ((0, 0), (16, 16), (0, 0)), mode="reflect"),
        "does not only resize, crop and pad",
    ),
    "other light": (lambda picture: plain(picture) ** 2.2, "does not only resize, crop and pad"),
    "nothing of the photo": (lambda picture: 0 * plain(picture), "same of a black photo and of a white one"),
    "a disc": (
        lambda picture: plain(picture) * (np.hypot(*(np.indices((64, 64)) - 31.5)) < 30),
        "no rectangle of the input",
    ),
    "of another size": (
        lambda picture: plain(picture)[:, : 40 + picture.getpixel((0, 0))[0] // 20],
        "arrays of shape",
    ),
    "a few pixels": (lambda picture: plain(picture)[:, :3], "too few to be measured"),
}


@pytest.mark.parametrize("how", ODD)
def test_what_does_something_else_is_refused(how):
    prepare, words = ODD[how]
    with pytest.raises(InputError, match=words):
        measure(prepare, (100, 120))


def test_a_photo_is_looked_for_where_it_should_be(photos):
    """What cuts off blank edges does nothing to the pictures that it is measured on."""
    photo = Image.fromarray(photos["cat"])
    size = (photo.height, photo.width)
    for preprocessing in KNOWN.values():
        measure(preprocessing, size).check(photo, preprocessing(photo))
    found = measure(plain, size)
    cut = photo.crop((photo.width // 3, 0, photo.width, photo.height))
    with pytest.raises(InputError, match=r"to this photo what it does not do to others.*off by 0\.\d\d"):
        found.check(photo, plain(cut))
    with pytest.raises(InputError, match="does not do to others"):
        found.check(photo, plain(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))


@pytest.mark.parametrize("resample", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_a_small_photo_that_is_much_enlarged_is_measured_within_its_edges(resample):
    """The half pixel beside an edge has one brightness, whatever the ramp is."""

    def prepare(picture: Image.Image) -> np.ndarray:
        return np.asarray(picture.resize((96, 80), resample), dtype=np.float64).transpose(2, 0, 1)

    found = measure(prepare, (8, 12)).geometry
    assert found.scale == pytest.approx((10, 8), rel=0.005)
    assert found.offset == pytest.approx((0, 0), abs=0.2)
    with pytest.raises(InputError, match="80 pixels of a photo's 5 along an axis, too few"):
        measure(prepare, (5, 12))
