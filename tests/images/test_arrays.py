"""Arrays are taken where their meaning is plain, and refused with a remedy where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.errors import InputError
from camscope.images import to_photo
from tests.images.pictures import array

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RGB[..., 0]
GREY3 = np.stack([GREY] * 3, axis=-1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_in_unit_range(dtype):
    np.testing.assert_array_equal(array(to_photo((RGB / 255).astype(dtype)).pixels), RGB)
    np.testing.assert_array_equal(array(to_photo((GREY / 255).astype(dtype)).pixels), GREY3)


@pytest.mark.parametrize(("given", "seen"), [(RGB, RGB), (GREY, GREY3), (GREY[..., None], GREY3)])
def test_uint8(given, seen):
    photo = to_photo(given)
    np.testing.assert_array_equal(array(photo.pixels), seen)
    assert photo.notes == ()
    assert photo.source is None


def test_uint16_and_its_byte_order():
    for order in ("<u2", ">u2"):
        photo = to_photo((RGB.astype(np.uint16) * 257).astype(order))
        np.testing.assert_array_equal(array(photo.pixels), RGB)
        assert photo.notes == ("16-bit scaled to 8-bit",)


def test_bool():
    np.testing.assert_array_equal(array(to_photo(np.array([[True, False]])).pixels), [[(255,) * 3, (0,) * 3]])


def test_alpha_lies_on_white():
    rgba = np.array([[(10, 20, 30, 255), (10, 20, 30, 0)]], dtype=np.uint8)
    for given in (rgba, rgba / 255):
        photo = to_photo(given)
        np.testing.assert_array_equal(array(photo.pixels), [[(10, 20, 30), (255, 255, 255)]])
        assert photo.notes == ("transparency shown on white",)


def test_views_and_odd_strides():
    np.testing.assert_array_equal(array(to_photo(RGB[::-1, ::2]).pixels), RGB[::-1, ::2])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((3, 8, 9), np.uint8), "channels come first.*moveaxis"),
        (np.zeros((1, 8, 9)), "channels come first.*moveaxis"),
        (np.zeros((2, 8, 9, 3), np.uint8), "batch"),
        (np.zeros(8, np.uint8), "1 dimensions"),
        (np.zeros((8, 9, 2), np.uint8), r"\(8, 9, 2\)"),
        (np.zeros((8, 9, 5), np.uint8), r"\(8, 9, 5\)"),
        (np.zeros((0, 9, 3), np.uint8), "no pixels"),
        (np.zeros((8, 9), np.int64), "int64.*astype"),
        (np.zeros((8, 9), complex), "complex128"),
        (np.full((8, 9), "a"), "dtype"),
        (np.full((8, 9), 200.0), "divide by 255"),
        (np.full((8, 9), -0.1), "denormalise"),
        (np.full((8, 9), np.nan), "NaN"),
        (np.full((8, 9), np.inf), "inf"),
    ],
)
def test_refused_with_a_remedy(given, words):
    with pytest.raises(InputError, match=words):
        to_photo(given)
