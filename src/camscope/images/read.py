"""Reading photos. Files are untrusted: each gives the right picture, or one ImageError that names the file."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from camscope.errors import CamscopeError, ImageError, InputError, either, nearest
from camscope.images.find import SAMPLE_PREFIX, sample_path
from camscope.images.from_array import array_to_rgb
from camscope.images.modes import to_rgb
from camscope.images.photo import Photo

MAX_PIXELS = 178_956_970
"""The largest photo that is read by default, in pixels; Pillow has the same limit."""

UPRIGHT = 1
"""The EXIF orientation of a photo that stands in its file as it is looked at."""

_TURNED = range(5, 9)
"""The EXIF orientations that lie on their side."""

_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257  # tags

_opening = threading.Lock()


def to_photo(image: Photo | Image.Image | str | os.PathLike[str] | np.ndarray) -> Photo:
    """Turn a picture, in whatever form the caller has it, into a Photo.

    Args:
        image: a path or ``sample:NAME`` (see `read_photo`); a PIL image of any mode; a NumPy array of shape
            (height, width), (height, width, 1), (height, width, 3) RGB or (height, width, 4) RGBA, of uint8,
            uint16 (scaled), bool or float in [0, 1]; or a Photo, which is returned as it is.

    Returns:
        The photo. It shares no memory with ``image``.

    Raises:
        ImageError: the file or the PIL image cannot be read.
        InputError: the array does not have one of these shapes and types, or ``image`` is no picture.
        MissingExtraError: a sample is asked for and scikit-image is not installed.
    """
    if isinstance(image, Photo):
        return image
    if isinstance(image, (str, os.PathLike)):
        return read_photo(image)
    if isinstance(image, Image.Image):
        file = getattr(image, "filename", "")
        return decoded(image, f"'{file}'" if file else "The PIL image", source=None)
    if isinstance(image, np.ndarray):
        pixels, notes = array_to_rgb(image)
        return Photo(pixels, None, tuple(notes))
    raise InputError(
        "A photo is a path, a PIL image or a NumPy array, "
        f"not {type(image).__module__}.{type(image).__qualname__}. "
        "For a tensor of shape (3, height, width) with values in [0, 1] pass "
        "tensor.permute(1, 2, 0).cpu().numpy()."
    )


def read_photo(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo upright, in 8-bit RGB. An animation or a multipage file gives its first frame.

    The content decides the format, not the name. Transparency is shown on white, 16-bit grey is scaled, EXIF
    rotation is applied; `Photo.notes` says what was done.

    Args:
        path: a file, or ``sample:NAME`` for one of `SAMPLES`.
        max_pixels: a photo with more pixels is refused before it is decoded (a small file can claim a
            gigantic picture).

    Raises:
        ImageError: the file is missing, unreadable, no image, damaged, or too large. The message names it.
        InputError: there is no sample of that name.
        MissingExtraError: a sample is asked for and scikit-image is not installed.
    """
    with _opened(path, max_pixels) as (image, name, source):
        return decoded(image, name, source)


def read_photo_bytes(content: bytes, source: str, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo from the bytes of its file, as `read_photo` does from the file.

    Args:
        content: what is in the file.
        source: what the photo is called.
        max_pixels: a photo with more pixels is refused before it is decoded.

    Raises:
        ImageError: they are no image, damaged, or of one that is too large. The message names the source.
    """
    with opened_bytes(content, source, max_pixels) as (image, name):
        return decoded(image, name, source)


@contextmanager
def opened_bytes(
    content: bytes, source: str, max_pixels: int = MAX_PIXELS
) -> Iterator[tuple[Image.Image, str]]:
    """Open a photo in the bytes of its file: only the header is read. Gives what it is called in errors too.

    Args:
        content: what is in the file.
        source: what the photo is called.
        max_pixels: a photo with more pixels is refused.

    Raises:
        ImageError: see `read_photo_bytes`.
    """
    name = f"'{source}'"
    if not content:
        raise ImageError(f"{name} is empty (0 bytes).")
    try:
        with _open(io.BytesIO(content), name, max_pixels) as image:
            yield image, name
    except (OSError, ValueError) as error:
        if isinstance(error, CamscopeError):
            raise
        raise ImageError(f"{name} cannot be read: {error}.") from error


def photo_size(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) of a photo, upright, by its header: what follows may still be damaged.

    Args:
        path: a file, or ``sample:NAME`` for one of `SAMPLES`.
        max_pixels: a photo with more pixels is refused.

    Raises:
        ImageError, InputError, MissingExtraError: see `read_photo`.
    """
    with _opened(path, max_pixels) as (image, _, _):
        return upright_size(image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) that a photo has when it is upright.

    Args:
        image: of which the header is read.
    """
    # Of a TIFF file, versions of Pillow differ in whether the size is upright already.
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(_TIFF_WIDTH, image.width), tags.get(_TIFF_HEIGHT, image.height)
    return (width, height) if orientation(image) in _TURNED else (height, width)


def orientation(image: Image.Image) -> int:
    """How a photo lies in its file, as EXIF counts: 1 upright, 5 to 8 on its side.

    Args:
        image: of which the header is read.
    """
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, UPRIGHT))
    except Exception:  # only the tags are damaged; a reader leaves the photo as it is
        return UPRIGHT


@contextmanager
def _opened(path: str | os.PathLike[str], max_pixels: int) -> Iterator[tuple[Image.Image, str, str]]:
    """A photo's file, of which the header is read; its name for errors, and its path as it was given."""
    source = os.fspath(path)
    sample = source.startswith(SAMPLE_PREFIX)
    file = sample_path(source.removeprefix(SAMPLE_PREFIX)) if sample else Path(source)
    name = f"'{source}'"
    if not source:
        raise ImageError("The path of the photo is empty ('').")
    try:
        _check_file(file, name)
        with file.open("rb") as stream, _open(stream, name, max_pixels) as image:
            yield image, name, source
    except CamscopeError:
        raise
    except PermissionError as error:
        raise ImageError(f"{name} may not be read: permission denied.") from error
    except (OSError, ValueError) as error:  # a path that holds a NUL raises ValueError
        raise ImageError(f"{name} cannot be read: {error}.") from error


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []


def _check_file(file: Path, name: str) -> None:
    try:
        size = file.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        near = next((parent for parent in file.parents if parent.is_dir()), None)
        hint = f" Its folder is missing too; '{near}' exists."
        if near is None or near == file.parent:
            hint = nearest(file.name, _names_in(file.parent))
        raise ImageError(f"{name} does not exist.{hint}") from error
    if file.is_dir():
        raise ImageError(
            f"{name} is a folder, expected a photo. Give the photos in it, "
            + either("such as sorted(pathlib.Path(folder).glob('*.jpg')).", "such as FOLDER/*.jpg.")
        )
    if not file.is_file():
        # Opening a pipe might wait for ever, and reading a device might never end.
        raise ImageError(f"{name} is a pipe or a device, expected a file.")
    if size == 0:
        raise ImageError(f"{name} is empty (0 bytes).")


def _open(stream: IO[bytes], name: str, max_pixels: int) -> Image.Image:
    """Read the header only, and refuse what must not be decoded."""
    try:
        # Pillow's warnings are not needed: our own limit replaces the one about size, and damaged tags do no harm or
        # raise an error. Warning filters belong to the whole process, so only one thread at a time may change them.
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(stream)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} is too large: {error} (PIL.Image.MAX_IMAGE_PIXELS sets it).") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is no image that Pillow can read, or its beginning is damaged.") from error
    except Exception as error:  # a decoder may raise anything on garbage: struct.error, KeyError, …
        raise ImageError(f"{name} has a damaged header: {_reason(error)}.") from error
    if image.format == "EPS":
        raise ImageError(f"{name} is PostScript, a program. It is not run; convert it to PNG first.")
    if image.width * image.height > max_pixels:
        raise ImageError(
            f"{name} is too large: {image.width} x {image.height} is {image.width * image.height:,} pixels, "
            f"the limit is {max_pixels:,}. Shrink the photo first."
        )
    return image


def decoded(image: Image.Image, name: str, source: str | None) -> Photo:
    """The photo in an opened file: upright, 8 bits, RGB.

    Args:
        image: of which the header is read.
        name: what it is called in errors.
        source: see `Photo`.

    Raises:
        ImageError: it is damaged.
    """
    try:
        image.load()
        upright, notes = _upright(image)
        pixels, more = to_rgb(upright, name)
    except ImageError:
        raise
    except Exception as error:  # a decoder may raise anything on garbage
        raise ImageError(f"{name} is damaged, incomplete or of an unknown kind: {_reason(error)}.") from error
    return Photo(pixels, source, (*_frame_note(image), *notes, *more))


def _upright(image: Image.Image) -> tuple[Image.Image, list[str]]:
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT) != UPRIGHT
        return ImageOps.exif_transpose(image) if turned else image, []
    except Exception:  # only the tags are damaged, not the pixels
        return image, ["EXIF unreadable, shown unrotated"]


def _frame_note(image: Image.Image) -> list[str]:
    if image.format == "PSD":  # Pillow counts its layers as frames, but shows the merged picture
        return []
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception:  # counting reads the whole file, which may be damaged after the frame that is shown
        return ["one frame of a file whose other frames are damaged"]
    if frames == 1:
        return []
    shown = image.tell() + 1
    return [f"first of {frames} frames" if shown == 1 else f"frame {shown} of {frames}"]


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
