"""Reading one input: its bytes, the photo in them, and the photo as the model takes it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from camscope.errors import CamscopeError, ImageError, first_line
from camscope.images import (
    SAMPLE_PREFIX,
    Geometry,
    Photo,
    Preprocessing,
    Quick,
    read_photo_bytes,
    read_quickly,
    sample_path,
)
from camscope.runs.sources.one_input import Input
from camscope.runs.sources.parquet_files import parquet_file
from camscope.runs.sources.remote_files import content


@dataclass(frozen=True)
class Reading:
    """How photos are read for a model.

    Attributes:
        preprocessing: how they become the model's input; None leaves them as they are.
        quick: what is spared of it, see `camscope.images.read_quickly`.
    """

    preprocessing: Preprocessing | None
    quick: Quick = ""


@dataclass(frozen=True, eq=False)
class ReadPhoto:
    """An input that was read.

    Attributes:
        size: (height, width) of the photo, in pixels.
        digest: of its file's bytes.
        notes: what was changed when it was read.
        prepared: the model's input; None where the model's library prepares photos.
        geometry: how the photo's pixels map to it; None likewise.
        pixels: the photo, RGB, where the model's library prepares it; None otherwise.
        reduced: of how many of its pixels, along each side, one was decoded.
    """

    size: tuple[int, int]
    digest: str
    notes: tuple[str, ...]
    prepared: Float32[np.ndarray, "channel height width"] | None = None
    geometry: Geometry | None = None
    pixels: UInt8[np.ndarray, "height width 3"] | None = None
    reduced: int = 1

    def photo(self, source: str) -> Photo:
        """The photo, of which the pixels are at hand."""
        assert self.pixels is not None
        return Photo(Image.fromarray(self.pixels), source, self.notes)


@dataclass(frozen=True)
class Unread:
    """An input that cannot be read.

    Attributes:
        reason: why.
        missing: whether nothing was there, which is also so where a drive has vanished.
    """

    reason: str
    missing: bool = False


def read_input(one: Input, reading: Reading) -> ReadPhoto | Unread:
    """Read an input.

    Args:
        one: the input.
        reading: how.
    """
    try:
        found = bytes_of(one)
    except (CamscopeError, OSError) as error:
        return Unread(str(error), missing=True)
    try:
        digest, preprocessing = digest_of_bytes(found), reading.preprocessing
        if preprocessing is None:
            photo = read_photo_bytes(found, one.source)
            return ReadPhoto(photo.size, digest, photo.notes, pixels=np.asarray(photo.pixels))
        quick = read_quickly(found, one.source, preprocessing, reading.quick)
        geometry = preprocessing.geometry(quick.size)
        return ReadPhoto(quick.size, digest, quick.notes, quick.prepared, geometry, reduced=quick.reduced)
    except CamscopeError as error:
        return Unread(str(error))
    except MemoryError:
        return Unread(f"'{one.source}': there was not enough memory to read it.")


def photo_again(one: Input, digest: str) -> Photo:
    """Read a photo that was explained before.

    Args:
        one: the input.
        digest: of its bytes then.

    Raises:
        ImageError: if it cannot be read any more, or has changed.
    """
    found = bytes_of(one)
    if digest_of_bytes(found) != digest:
        raise ImageError(
            f"'{one.source}' has changed since it was explained, so its maps are of another picture."
        )
    return read_photo_bytes(found, one.source)


def digest_of_bytes(found: bytes) -> str:
    """By which a file's content is known again."""
    return hashlib.sha256(found).hexdigest()[:16]


def bytes_of(one: Input) -> bytes:
    """The bytes of an input's image.

    Args:
        one: the input.

    Raises:
        ImageError: if they cannot be read.
    """
    if one.kind == "bytes":
        return content(one.file, one.first, one.second)
    if one.kind == "parquet":
        return _cell(_group(one.file, one.column, one.first)[one.second], one)
    if one.kind == "arrow":
        return _cell(_arrow_column(one.file, one.column)[one.second].as_py(), one)
    if one.source.startswith(SAMPLE_PREFIX):
        return sample_path(one.source.removeprefix(SAMPLE_PREFIX)).read_bytes()
    return content(one.source)


def _cell(value: Any, one: Input) -> bytes:
    """The image in a row: its bytes, or those of the file that it names."""
    if isinstance(value, bytes):
        return value
    inside = value if isinstance(value, dict) else {"path": value}
    if inside.get("bytes"):
        return bytes(inside["bytes"])
    if inside.get("path"):
        return content(str(inside["path"]))
    raise ImageError(f"'{one.source}' has no image.")


@lru_cache(maxsize=1)
def _group(file: str, column: str, group: int) -> Sequence[Any]:
    """A column of the row group that was read last, since its rows are read one after another."""
    with parquet_file(file) as table:
        found: list[Any] = table.read_row_group(group, columns=[column])[column].to_pylist()
    return found


@lru_cache(maxsize=2)
def _arrow_column(file: str, column: str) -> Any:
    """A column of an Arrow file, which stays on the disk until a row is asked for."""
    import pyarrow
    from pyarrow import ipc

    try:
        return ipc.open_stream(pyarrow.memory_map(file)).read_all()[column]
    except (pyarrow.ArrowException, OSError) as error:
        raise ImageError(f"'{file}' cannot be read: {first_line(error)}.") from error
