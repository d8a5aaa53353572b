"""Every mode of picture gives the pixels a viewer would show: by hand-computed values."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageChops

from camscope.errors import ImageError
from camscope.images import read_photo, to_photo
from tests.images.pictures import array, noise, quarters

GREY16 = np.array([[0, 1, 128, 129], [257, 300, 1000, 25700], [32768, 40000, 65534, 65535]], dtype=np.uint16)
GREY16_AS_8 = np.array([[0, 0, 0, 1], [1, 1, 4, 100], [128, 156, 255, 255]])


def is_grey(photo, expected):
    np.testing.assert_array_equal(array(photo.pixels), np.stack([expected] * 3, axis=-1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled(tmp_path, kind):
    Image.fromarray(GREY16).save(tmp_path / "a", kind)
    photo = read_photo(tmp_path / "a")
    is_grey(photo, GREY16_AS_8)
    assert photo.notes == ("16-bit scaled to 8-bit",)


def test_16_bit_big_endian_tiff(tmp_path):
    picture = Image.frombytes("I;16B", (4, 3), GREY16.astype(">u2").tobytes())
    picture.save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as stored:
        assert stored.mode == "I;16B"
    is_grey(read_photo(tmp_path / "a.tif"), GREY16_AS_8)


def test_32_bit_integers_of_16_bit_grey():
    is_grey(to_photo(Image.fromarray(GREY16.astype(np.int32))), GREY16_AS_8)


@pytest.mark.parametrize("value", [-1, 65536])
def test_32_bit_integers_beyond_16_bits(tmp_path, value):
    Image.fromarray(np.array([[0, value]], dtype=np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=rf"a\.tif.*{value}"):
        read_photo(tmp_path / "a.tif")


def test_16_bit_grey_with_a_transparent_value(tmp_path):
    Image.fromarray(GREY16).save(tmp_path / "a.png", transparency=1000)
    photo = read_photo(tmp_path / "a.png")
    expected = GREY16_AS_8.copy()
    expected[1, 2] = 255
    is_grey(photo, expected)
    assert "transparency shown on white" in photo.notes


def test_floats(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1, 0.1]], dtype=np.float32)).save(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    is_grey(photo, np.array([[0, 128, 255, 26]]))
    assert photo.notes == ("floats scaled to 8-bit",)


@pytest.mark.parametrize("value", [255.0, -0.5, float("nan"), float("inf")])
def test_floats_outside_are_refused(tmp_path, value):
    Image.fromarray(np.array([[0, value]], dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif.*\[0, 1\]"):
        read_photo(tmp_path / "a.tif")


def test_one_bit(tmp_path):
    bits = np.array([[True, False, True], [False, False, True]])
    for kind in ("PNG", "TIFF", "BMP"):
        Image.fromarray(bits).save(tmp_path / "a", kind)
        is_grey(read_photo(tmp_path / "a"), bits * 255)


def test_grey(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    is_grey(read_photo(tmp_path / "a.png"), grey)


def test_palette(tmp_path):
    quarters().quantize(4).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(array(photo.pixels), array(quarters()))
    assert photo.notes == ()


@pytest.mark.parametrize("transparency", [0, bytes([0, 255]), bytes([128, 255])])
def test_palette_with_transparency(tmp_path, transparency):
    picture = Image.new("P", (2, 1))
    picture.putpalette([100, 0, 0, 0, 200, 0])
    picture.putdata([0, 1])
    picture.save(tmp_path / "a.png", transparency=transparency)
    photo = read_photo(tmp_path / "a.png")
    # Half transparent: 100 * 128/255 + 255 * 127/255 = 177.2
    first = (177, 127, 127) if transparency == bytes([128, 255]) else (255, 255, 255)
    np.testing.assert_allclose(array(photo.pixels), [[first, (0, 200, 0)]], atol=1)
    assert photo.notes == ("transparency shown on white",)


def test_transparent_gif(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([100, 0, 0, 0, 200, 0])
    picture.putdata([0, 1])
    picture.save(tmp_path / "a.gif", transparency=0)
    np.testing.assert_array_equal(
        array(read_photo(tmp_path / "a.gif").pixels), [[(255, 255, 255), (0, 200, 0)]]
    )


@pytest.mark.parametrize(
    ("mode", "pixels", "seen"),
    [
        (
            "RGBA",
            [(200, 100, 0, 255), (200, 100, 0, 0), (200, 100, 0, 51)],
            [(200, 100, 0), (255,) * 3, (244, 224, 204)],
        ),
        ("LA", [(80, 255), (80, 0), (80, 51)], [(80,) * 3, (255,) * 3, (220,) * 3]),
    ],
)
def test_alpha_lies_on_white(tmp_path, mode, pixels, seen):
    """c · a + 255 · (1 − a), with a = 1, 0 and 0.2."""
    picture = Image.new(mode, (3, 1))
    picture.putdata(pixels)
    picture.save(tmp_path / "a.png")
    for photo in (read_photo(tmp_path / "a.png"), to_photo(picture)):
        np.testing.assert_array_equal(array(photo.pixels), [seen])
        assert photo.notes == ("transparency shown on white",)


@pytest.mark.parametrize("mode", ["RGBa", "La", "PA"])
def test_rare_alpha_modes(mode):
    start = Image.new(
        "LA" if mode == "La" else "RGBA", (2, 1), (80, 255) if mode == "La" else (80, 80, 80, 255)
    )
    start.putpixel((1, 0), (0,) * len(start.getbands()))
    photo = to_photo(start.convert("P").convert("PA") if mode == "PA" else start.convert(mode))
    assert photo.pixels.getpixel((0, 0)) == (80, 80, 80)
    if mode != "PA":  # converting to a palette has no alpha to keep
        assert photo.pixels.getpixel((1, 0)) == (255, 255, 255)


def test_palette_with_alpha_band():
    picture = Image.new("PA", (2, 1))
    picture.putpalette([100, 0, 0, 0, 200, 0])
    picture.putdata([(0, 0), (1, 255)])
    np.testing.assert_array_equal(array(to_photo(picture).pixels), [[(255, 255, 255), (0, 200, 0)]])


def test_opaque_alpha_is_not_worth_a_note():
    photo = to_photo(quarters().convert("RGBA"))
    assert photo.notes == ()
    np.testing.assert_array_equal(array(photo.pixels), array(quarters()))


@pytest.mark.parametrize(("mode", "clear"), [("RGB", (255, 0, 0)), ("L", 76)])
def test_transparent_colour_of_a_png(tmp_path, mode, clear):
    quarters().convert(mode).save(tmp_path / "a.png", transparency=clear)
    photo = read_photo(tmp_path / "a.png")
    assert photo.pixels.getpixel((0, 0)) == (255, 255, 255)
    assert photo.pixels.getpixel((0, 15)) != (255, 255, 255)
    assert photo.notes == ("transparency shown on white",)


def test_cmyk_tiff(tmp_path):
    """Ink takes light away: R = 255 − C, without black."""
    picture = Image.new("CMYK", (2, 1))
    picture.putdata([(255, 0, 0, 0), (0, 100, 200, 0)])
    picture.save(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(array(photo.pixels), [[(0, 255, 255), (255, 155, 55)]])
    assert photo.notes == ("CMYK converted to RGB",)


def test_cmyk_jpeg_in_adobes_inverted_way(tmp_path):
    """Decoded apart from Pillow's inversion: the stored bytes are 255 − ink, and the picture is right."""
    ink = Image.new("CMYK", (16, 16), (200, 30, 0, 0))
    ink.save(tmp_path / "a.jpg", quality=100)
    data = (tmp_path / "a.jpg").read_bytes()
    assert b"Adobe" in data
    with Image.open(io.BytesIO(data)) as stored:
        assert stored.mode == "CMYK"
        raw = Image.open(io.BytesIO(data))
        raw.tile = [tile._replace(args=("CMYK", "")) for tile in raw.tile]
        np.testing.assert_allclose(array(ImageChops.invert(raw)), array(ink), atol=2)
    np.testing.assert_allclose(array(read_photo(tmp_path / "a.jpg").pixels)[8, 8], (55, 225, 255), atol=2)


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "LAB"])
def test_other_colour_spaces(tmp_path, mode):
    if mode == "LAB":
        picture = Image.new("LAB", (4, 4), (255, 128, 128))  # L = 100 %, a = b = 0: white
        expected, tolerance = np.full((4, 4, 3), 255), 2
    else:
        picture = quarters().convert(mode)
        expected, tolerance = array(quarters()), 3
    np.testing.assert_allclose(array(to_photo(picture).pixels), expected, atol=tolerance)
    if mode != "HSV":
        picture.save(tmp_path / "a.tif")
        np.testing.assert_allclose(array(read_photo(tmp_path / "a.tif").pixels), expected, atol=tolerance)


def test_rgbx():
    np.testing.assert_array_equal(array(to_photo(quarters().convert("RGBX")).pixels), array(quarters()))


def test_given_picture_is_not_changed():
    picture = noise(5, 5).convert("RGBA")
    before = picture.tobytes()
    to_photo(picture)
    assert picture.tobytes() == before
    assert picture.mode == "RGBA"
