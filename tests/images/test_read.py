"""A file gives the right picture or one ImageError that names it."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camscope.errors import ImageError, InputError
from camscope.images import Photo, photo_size, read_photo, to_photo
from tests.images.pictures import array, noise, quarters


def refused(path: Path, *words: str, **options: int) -> str:
    """The one error of a file: ours, names the file, and says these words."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError) as caught:
            read_photo(path, **options)
    message = str(caught.value)
    assert path.name in message
    for word in words:
        assert word in message
    assert "\n" not in message
    return message


def read_or_none(path: Path, **options: int) -> Photo | None:
    try:
        return read_photo(path, **options)
    except ImageError as error:
        if path.name not in str(error):
            raise
        return None


def png_claiming(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes whose header claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )
    return path


def test_plain_photo(tmp_path):
    picture = noise(5, 7)
    picture.save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo.pixels.mode == "RGB"
    assert photo.size == (5, 7)
    assert photo.source == str(tmp_path / "a.png")
    assert photo.notes == ()
    np.testing.assert_array_equal(array(photo.pixels), array(picture))


def test_missing(tmp_path):
    refused(tmp_path / "cat.jpg", "does not exist")
    deep = tmp_path / "no" / "where" / "cat.jpg"
    assert f"'{tmp_path}' exists" in refused(deep, "does not exist", "folder is missing")
    (tmp_path / "file").write_bytes(b"x")
    refused(tmp_path / "file" / "cat.jpg", "does not exist")


def test_path_with_nul():
    with pytest.raises(ImageError, match="cannot be read"):
        read_photo("a\0b.png")


def test_too_long_a_name(tmp_path):
    refused(tmp_path / ("a" * 300), "cannot be read")


def test_folder(tmp_path):
    refused(tmp_path, "is a folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "pipe or a device")


def test_no_permission(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    noise(4, 4).save(path)

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, who may read everything.
    monkeypatch.setattr(Path, "open", denied)
    refused(path, "permission denied")


def test_empty(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    refused(tmp_path / "a.jpg", "is empty (0 bytes)")


@pytest.mark.parametrize("content", [b"\0", b"hello, I am a text\n", b"<svg></svg>", bytes(range(256)) * 20])
def test_no_image(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    refused(tmp_path / "a.jpg", "no image")


FORMATS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO", "JPEG2000"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_anywhere(tmp_path, kind):
    """Cut at any point, a file gives an ImageError; or the picture, where only bytes after it are gone."""
    whole = tmp_path / "whole"
    noise(24, 24).save(whole, kind)
    data = whole.read_bytes()
    truth = array(read_photo(whole).pixels)
    path = tmp_path / "cut.jpg"
    failed = 0
    for cut in sorted(
        {1, 2, 4, 8, 12, 20, 30, 50, *range(60, len(data), max(1, len(data) // 30)), len(data) - 1}
    ):
        path.write_bytes(data[:cut])
        photo = read_or_none(path)
        if photo is None:
            failed += 1
        else:
            assert cut > 0.9 * len(data)
            np.testing.assert_array_equal(array(photo.pixels), truth)
    assert failed > 20


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", FORMATS)
def test_corrupted_anywhere(tmp_path, kind):
    """Overwritten bytes raise nothing but ImageError (a codec may also decode them to other pixels)."""
    noise(16, 16).save(tmp_path / "whole", kind)
    data = bytearray((tmp_path / "whole").read_bytes())
    rng = np.random.default_rng(1)
    path = tmp_path / "bad.png"
    for _ in range(40):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 200), 5):
            damaged[at] = int(rng.integers(256))
        path.write_bytes(damaged)
        read_or_none(path, max_pixels=10**6)


def test_bombs_are_refused_by_their_header(tmp_path):
    # Refused by our limit, by Pillow's error, and between Pillow's warning and its error.
    refused(png_claiming(tmp_path / "a.png", 1001, 1000), "too large", "1001 x 1000", max_pixels=10**6)
    refused(png_claiming(tmp_path / "b.png", 60000, 60000), "too large")
    refused(png_claiming(tmp_path / "c.png", 10000, 10000), "too large", "100,000,000", max_pixels=10**6)


def test_exactly_the_limit_is_read(tmp_path):
    noise(10, 10).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png", max_pixels=100).size == (10, 10)
    refused(tmp_path / "a.png", "too large", max_pixels=99)


def test_big_but_allowed_gives_no_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    noise(10, 10).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        assert read_photo(tmp_path / "a.png").size == (10, 10)
        assert list(warnings.filters) == filters
    assert Image.MAX_IMAGE_PIXELS == 60


def test_a_decoder_that_fails_in_its_own_way(tmp_path, monkeypatch):
    def fail(stream):
        raise ZeroDivisionError

    noise(4, 4).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", fail)
    refused(tmp_path / "a.png", "damaged header: ZeroDivisionError")


def test_size_of_zero(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 0 5 255\n")
    refused(tmp_path / "a.ppm")
    refused(png_claiming(tmp_path / "b.png", 0, 5))
    with pytest.raises(ImageError, match="no pixels"):
        to_photo(Image.new("RGB", (0, 5)))


def test_content_decides_not_the_suffix(tmp_path):
    quarters().save(tmp_path / "a.jpg", "PNG")
    np.testing.assert_array_equal(array(read_photo(tmp_path / "a.jpg").pixels), array(quarters()))
    quarters().save(tmp_path / "plain", "BMP")
    np.testing.assert_array_equal(array(read_photo(tmp_path / "plain").pixels), array(quarters()))


def test_postscript_is_not_run(tmp_path):
    quarters().save(tmp_path / "a.png", "EPS")
    refused(tmp_path / "a.png", "PostScript")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_rotation(tmp_path, orientation, kind):
    """The stored picture is turned back, as the tag's definition says where row 0 and column 0 lie."""
    upright = quarters(32).crop((0, 0, 32, 24))
    values = np.asarray(upright)
    stored = {
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: values.swapaxes(0, 1),
        6: np.rot90(values, 1),
        7: np.rot90(values, 2).swapaxes(0, 1),
        8: np.rot90(values, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = (
        {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    )
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a", kind, exif=exif, **options)
    photo = read_photo(tmp_path / "a")
    assert photo.size == photo_size(tmp_path / "a") == (24, 32)
    np.testing.assert_allclose(array(photo.pixels), values, atol=80 if kind == "JPEG" else 0)


def test_unreadable_exif_does_not_lose_the_picture(tmp_path):
    noise(6, 6).save(tmp_path / "a.png", exif=b"Exif\0\0no tags at all")
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(array(photo.pixels), array(noise(6, 6)))
    assert photo.notes == ("EXIF unreadable, shown unrotated",)
    assert photo_size(tmp_path / "a.png") == (6, 6)


def test_the_size_is_read_without_what_follows(tmp_path):
    noise(40, 30).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    assert photo_size(tmp_path / "half.png") == (40, 30)
    with pytest.raises(ImageError, match=r"'.*half\.png' is damaged"):
        read_photo(tmp_path / "half.png")
    with pytest.raises(ImageError, match="the limit is 1,199"):
        photo_size(tmp_path / "a.png", max_pixels=1199)
    with pytest.raises(ImageError, match="does not exist"):
        photo_size(tmp_path / "b.png")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_first_of_many_frames(tmp_path, kind):
    frames = [Image.new("RGB", (16, 12), colour) for colour in [(255, 0, 0), (0, 255, 0), (0, 0, 255)]]
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:], **options)
    photo = read_photo(tmp_path / "a")
    assert photo.notes == ("first of 3 frames",)
    assert photo.size == (12, 16)
    np.testing.assert_allclose(array(photo.pixels), array(frames[0]), atol=3 if kind == "MPO" else 0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_behind_the_first_frame_does_no_harm(tmp_path):
    frames = [noise(16, 16, seed) for seed in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) // 2])
    np.testing.assert_array_equal(array(read_photo(tmp_path / "a.tif").pixels), array(frames[0]))


def test_pil_image_at_a_later_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in [(255, 0, 0), (0, 255, 0)]]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as image:
        image.seek(1)
        photo = to_photo(image)
        assert image.tell() == 1
    assert photo.notes == ("frame 2 of 2",)
    assert photo.pixels.getpixel((0, 0)) == (0, 255, 0)


@pytest.mark.parametrize("good", [True, False])
def test_files_are_closed(tmp_path, monkeypatch, good):
    path = tmp_path / "a.png"
    noise(30, 30).save(path)
    if not good:
        path.write_bytes(path.read_bytes()[:200])
    opened = []
    real = Path.open

    def watched(self, *args, **kwargs):
        opened.append(real(self, *args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(Path, "open", watched)
    if good:
        read_photo(path).pixels.getpixel((3, 3))
    else:
        refused(path)
    assert len(opened) == 1
    assert opened[0].closed


def test_error_keeps_its_cause(tmp_path):
    noise(30, 30).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    with pytest.raises(ImageError) as caught:
        read_photo(tmp_path / "a.png")
    assert isinstance(caught.value.__cause__, OSError)


def test_to_photo_takes_every_form(tmp_path):
    picture = quarters()
    picture.save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert to_photo(photo) is photo
    for form in (tmp_path / "a.png", str(tmp_path / "a.png"), picture, np.asarray(picture)):
        given = to_photo(form)
        assert isinstance(given, Photo)
        np.testing.assert_array_equal(array(given.pixels), array(picture))


def test_to_photo_shares_nothing():
    picture, values = quarters(), np.array(quarters())
    photos = to_photo(picture), to_photo(values)
    picture.paste((1, 2, 3), (0, 0, 16, 16))
    values[:] = 7
    for photo in photos:
        np.testing.assert_array_equal(array(photo.pixels), array(quarters()))


def test_to_photo_turns_a_pil_image_upright():
    picture = quarters().crop((0, 0, 16, 8))
    picture.getexif()[0x0112] = 6
    assert to_photo(picture).size == (16, 8)
    assert picture.size == (16, 8)


def test_to_photo_of_a_closed_image(tmp_path):
    noise(4, 4).save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    image.close()
    with pytest.raises(ImageError, match=r"a\.png"):
        to_photo(image)


def test_to_photo_of_something_else():
    class Tensor:
        pass

    with pytest.raises(InputError, match=r"not .*Tensor.*permute"):
        to_photo(Tensor())
