"""Files on this machine or behind any URL that fsspec knows, read with a few retries."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar, cast

from camscope.errors import ImageError, InputError, MissingExtraError
from camscope.images import natural_key

T = TypeVar("T")

TRIES = 4
"""How often something is read before it counts as unreadable."""

_WAIT = 0.25
"""Seconds before it is read again; twice as many each time."""

_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ValueError, ImportError)
"""What another try does not change."""


class Entry(NamedTuple):
    """What lies in a folder.

    Attributes:
        path: the whole path or URL.
        name: the last part of it.
        is_folder: whether it is one.
    """

    path: str
    name: str
    is_folder: bool


def is_url(path: str) -> bool:
    """Whether a path is a URL."""
    return "://" in path


def beside(folder: str, name: str) -> str:
    """A path below a folder; an absolute one or a URL stays as it is."""
    if is_url(name) or Path(name).is_absolute():
        return name
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else str(Path(folder) / name)


def folder_of(path: str) -> str:
    """The folder that a file is in."""
    return path.rpartition("/")[0] if is_url(path) else str(Path(path).parent)


def patiently(read: Callable[[], T], what: str) -> T:
    """Read something; where the network or a disk fails, again after a while, a few times.

    Args:
        read: reads it.
        what: it is, for the message.

    Raises:
        ImageError: if it failed each time.
        OSError, ValueError, ImportError: what another try would not change.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return read()
        except _FINAL:
            raise
        except Exception as error:  # libraries behind fsspec raise errors of their own
            if attempt == TRIES:
                raise ImageError(f"'{what}' could not be read, {TRIES} times: {_words(error)}.") from error
            time.sleep(_WAIT * 2 ** (attempt - 1))
    raise AssertionError


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """A file that is open for reading, of which any part can be read.

    Args:
        path: of the file, or its URL.

    Raises:
        OSError: if it cannot be opened.
        InputError: if there is no way to read such URLs.
    """
    if not is_url(path):
        with Path(path).open("rb") as stream:
            yield stream
        return
    files, place = _file_system(path)
    with files.open(place, "rb") as stream:
        yield cast(IO[bytes], stream)


def content(path: str, first: int = 0, count: int | None = None) -> bytes:
    """The bytes of a file, or of a part of it.

    Args:
        path: of the file, or its URL.
        first: where the part begins.
        count: how many bytes; None for all.

    Raises:
        ImageError: if they cannot be read.
    """

    def read() -> bytes:
        if is_url(path):
            files, place = _file_system(path)
            return bytes(files.cat_file(place, first or None, None if count is None else first + count))
        with opened(path) as stream:
            stream.seek(first)
            return stream.read(-1 if count is None else count)

    if not is_url(path) and Path(path).exists() and not Path(path).is_file():
        raise ImageError(f"'{path}' is a folder, a pipe or a device, expected a file.")
    try:
        found = patiently(read, path)
    except FileNotFoundError as error:
        raise ImageError(f"'{path}' does not exist.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise ImageError(f"'{path}' cannot be read: {_words(error)}.") from error
    if count is not None and len(found) < count:
        raise ImageError(
            f"'{path}' ends {count - len(found)} bytes too early: it has changed since it was listed."
        )
    return found


def is_folder(path: str) -> bool:
    """Whether there is a folder."""
    if not is_url(path):
        return Path(path).is_dir()
    files, place = _file_system(path)
    return bool(patiently(partial(files.isdir, place), path))


def is_file(path: str) -> bool:
    """Whether there is a file."""
    if not is_url(path):
        return Path(path).is_file()
    files, place = _file_system(path)
    return bool(patiently(partial(files.isfile, place), path))


def entries(folder: str) -> list[Entry]:
    """What lies in a folder, in natural order, without hidden files.

    Args:
        folder: its path or URL.

    Raises:
        InputError: if it cannot be listed.
    """
    try:
        found = _listed(folder)
    except OSError as error:
        raise InputError(f"The folder '{folder}' cannot be listed: {_words(error)}.") from error
    shown = [one for one in found if not one.name.startswith(".")]
    return sorted(shown, key=lambda one: (natural_key(one.name), one.name))


def walk(folder: str) -> Iterator[str]:
    """All files below a folder, one folder after another, in natural order, without hidden ones."""
    for one in entries(folder):
        if one.is_folder:
            yield from walk(one.path)
        else:
            yield one.path


def matching(pattern: str) -> list[str]:
    """The files that a glob matches, in natural order."""
    if not is_url(pattern):
        import glob

        found = [path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()]  # noqa: PTH207
    else:
        files, place = _file_system(pattern)
        found = [str(files.unstrip_protocol(one)) for one in patiently(partial(files.glob, place), pattern)]
    return sorted(found, key=lambda path: (natural_key(path), path))


def _listed(folder: str) -> list[Entry]:
    if not is_url(folder):
        with os.scandir(folder) as found:
            return [Entry(one.path, one.name, one.is_dir()) for one in found]
    files, place = _file_system(folder)
    known = patiently(partial(files.ls, place, detail=True), folder)
    return [
        Entry(
            str(files.unstrip_protocol(one["name"])),
            str(one["name"]).rstrip("/").rpartition("/")[2],
            one["type"] == "directory",
        )
        for one in known
        if str(one["name"]).rstrip("/") != place.rstrip("/")
    ]


def _file_system(path: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(f"reading {path}", "runs") from error
    try:
        files, place = url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise InputError(f"'{path}': {_words(error)}.") from error
    return files, str(place)


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")
