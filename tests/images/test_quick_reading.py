"""Photos read the quick way: what is spared is not seen, at the same place, and nearly the same."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from PIL import ExifTags, Image

from camscope.errors import ImageError
from camscope.images import IMAGENET, Preprocessing, read_photo_bytes, read_quickly
from camscope.images.quick_reading import ENOUGH

WAYS = {
    "centre": IMAGENET,
    "bicubic": Preprocessing((224, 224), resize=256, interpolation="bicubic"),
    "pair": Preprocessing((96, 160), resize=(120, 170)),
    "squash": Preprocessing((64, 48), resize=(64, 48), crop="squash"),
    "border": Preprocessing((64, 64), resize=(64, 64), crop="border"),
    "one side too small": Preprocessing((200, 60), resize=100),
    "no resize": Preprocessing((40, 60)),
    "grey": Preprocessing((96, 96), resize=128, mean=(0.5,), std=(0.5,)),
    "grey after": Preprocessing((96, 96), resize=128, greyscale="after", crop_offset="down"),
}


def jpeg(image: Image.Image, orientation: int = 1, kind: str = "JPEG", **options) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    image.save(file, kind, quality=92, exif=exif, **options)
    return file.getvalue()


@cache
def photo(width: int, height: int) -> Image.Image:
    """A real photo, with a sharp grid on it that would tell a shift."""
    from skimage import data

    own = np.asarray(
        Image.fromarray(data.astronaut()).resize((width, height), Image.Resampling.BICUBIC)
    ).copy()
    own[::50] //= 2
    own[:, ::50] //= 2
    return Image.fromarray(own)


def levels_off(content: bytes, way: Preprocessing, quick) -> np.ndarray:
    """By how many grey levels each pixel of the model's input differs from the plain way."""
    read, plain = read_quickly(content, "x", way, quick), read_photo_bytes(content, "x")
    assert (read.size, read.notes) == (plain.size, plain.notes)
    std = np.asarray(way.std)[:, None, None]
    return np.abs(read.prepared - way(plain)) * std * 255


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("size", [(301, 400), (400, 301), (97, 131), (640, 480)])
def test_only_what_the_crop_keeps_gives_the_same_pixels_but_for_rounding(name, size):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    file = io.BytesIO()
    image.save(file, "PNG")
    off = levels_off(file.getvalue(), WAYS[name], "cropped")
    exact = name in ("squash", "border", "no resize")
    assert off.max() < (1e-3 if exact else 1.01 if name != "bicubic" else 25)  # of noise; see the next test
    assert (off > 1.01).mean() < 0.03


def test_of_a_photo_hardly_a_pixel_differs():
    off = levels_off(jpeg(photo(700, 500)), WAYS["bicubic"], "cropped")
    assert off.max() < 1.01
    assert (off > 0.5).mean() < 1e-3


def test_the_plain_way_is_the_plain_way():
    assert levels_off(jpeg(photo(700, 500)), IMAGENET, "").max() == 0


@pytest.mark.parametrize(
    ("orientation", "kind"), [*((number, "JPEG") for number in range(1, 9)), (1, "MPO"), (6, "MPO")]
)
def test_a_large_file_is_decoded_smaller_at_the_same_place_however_it_lies(orientation, kind):
    small = Preprocessing((56, 56), resize=64)
    content = jpeg(photo(800, 608), orientation, kind)
    assert read_quickly(content, "x", small, "reduced").reduced == 4
    off = levels_off(content, small, "reduced")
    assert 0 < off.mean() < 1
    assert off.max() < 12
    plain = small(read_photo_bytes(content, "x"))
    shifted = np.abs(plain - np.roll(plain, 1, axis=2)) * np.asarray(small.std)[:, None, None] * 255
    assert shifted[..., 1:].mean() > 8, "half a pixel aside would be off by four levels"


@pytest.mark.parametrize("size", [(801, 607), (803, 606), (805, 609), (807, 611)])
def test_a_last_pixel_that_is_not_whole_moves_nothing(size):
    """Of a photo that is turned in its file it would be at the other end: that is decoded whole."""
    small = Preprocessing((64, 64), resize=64)
    assert read_quickly(jpeg(photo(*size)), "x", small, "reduced").reduced == 4
    off = levels_off(jpeg(photo(*size)), small, "reduced")
    assert 0 < off.mean() < 1
    assert read_quickly(jpeg(photo(*size), orientation=6), "x", small, "reduced").reduced == 1


@pytest.mark.parametrize(("side", "reduced"), [(255, 1), (256, 2), (511, 2), (512, 4), (1024, 8), (4096, 8)])
def test_enough_pixels_are_left(side, reduced):
    way = Preprocessing((64, 64), resize=64)
    file = io.BytesIO()
    Image.new("RGB", (side, side + 40)).save(file, "JPEG")
    found = read_quickly(file.getvalue(), "x", way, "reduced")
    assert found.reduced == reduced
    assert side // found.reduced >= ENOUGH * 64 or found.reduced == 1


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_too(mode):
    content = jpeg(photo(800, 608).convert(mode))
    assert read_quickly(content, "x", IMAGENET, "reduced").reduced == 1
    small = Preprocessing((56, 56), resize=64)
    assert read_quickly(content, "x", small, "reduced").reduced == 4
    assert levels_off(content, small, "reduced").mean() < 1


def test_exif_that_cannot_be_read_to_the_end_does_not_swap_the_sides(monkeypatch):
    from PIL import ImageOps

    def broken(image):
        raise ValueError("damaged")

    monkeypatch.setattr(ImageOps, "exif_transpose", broken)
    small = Preprocessing((56, 56), resize=64)
    content = jpeg(photo(800, 608), orientation=6)
    found = read_quickly(content, "x", small, "reduced")
    assert (found.size, found.reduced) == ((608, 800), 4)
    assert levels_off(content, small, "reduced").mean() < 1


def test_what_is_wrong_with_a_file_is_said_likewise():
    whole = jpeg(photo(800, 608))
    for content in (b"", whole[:9000], b"no image", whole[:30]):
        with pytest.raises(ImageError) as plain:
            read_photo_bytes(content, "x")
        with pytest.raises(ImageError) as quick:
            read_quickly(content, "x", IMAGENET, "reduced")
        assert str(plain.value) == str(quick.value)
    narrow = jpeg(Image.new("RGB", (4000, 4)))
    for way in ("", "cropped", "reduced"):
        with pytest.raises(ImageError, match="'x' is too narrow"):
            read_quickly(narrow, "x", WAYS["border"], way)
