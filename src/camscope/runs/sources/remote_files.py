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

_FINAL = (
    FileExistsError,
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ValueError,
    ImportError,
)
"""What another try does not change."""

_ADMITTED = {
    "s3": "aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; FSSPEC_S3_ANON=true for a public bucket; "
    "AWS_ENDPOINT_URL for another server than Amazon's",
    "gs": "gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS; FSSPEC_GS_TOKEN=anon for a public "
    "bucket",
    "hf": "hf auth login, or HF_TOKEN",
}
"""How one is let in, by protocol."""


_IN_PAGES = ("s3://", "s3a://")
"""Buckets that are listed page by page."""


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


def patiently(read: Callable[[], T], what: str, done: str = "read") -> T:
    """Read or write something; where the network or a disk fails, again after a while, a few times.

    Args:
        read: reads it.
        what: it is, for the message.
        done: what is done with it, likewise.

    Raises:
        ImageError: if it failed each time.
        OSError, ValueError, ImportError: what another try would not change.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return read()
        except PermissionError as error:
            if not is_url(what):
                raise
            raise ImageError(f"'{what}' cannot be {done}: {words_of(error, what)}.") from error
        except _FINAL:
            raise
        except Exception as error:  # libraries behind fsspec raise errors of their own
            if _is_refusal(error):  # before a server is asked
                raise ImageError(f"'{what}' cannot be {done}: {words_of(error, what)}.") from error
            if attempt == TRIES:
                raise ImageError(
                    f"'{what}' could not be {done}, {TRIES} times: {words_of(error, what)}."
                ) from error
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
    files, place = file_system(path)
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
            files, place = file_system(path)
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
        raise ImageError(f"'{path}' cannot be read: {words_of(error, path)}.") from error
    if count is not None and len(found) < count:
        raise ImageError(
            f"'{path}' ends {count - len(found)} bytes too early: it has changed since it was listed."
        )
    return found


def is_folder(path: str) -> bool:
    """Whether there is a folder."""
    if not is_url(path):
        return Path(path).is_dir()
    files, place = file_system(path)
    return bool(patiently(partial(files.isdir, place), path))


def is_file(path: str) -> bool:
    """Whether there is a file."""
    if not is_url(path):
        return Path(path).is_file()
    files, place = file_system(path)
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
        raise InputError(f"The folder '{folder}' cannot be listed: {words_of(error, folder)}.") from error
    shown = [one for one in found if not one.name.startswith(".")]
    return sorted(shown, key=lambda one: (natural_key(one.name), one.name))


def walk(folder: str) -> Iterator[str]:
    """All files below a folder without hidden ones, as a stream.

    One folder after another, in natural order; of a bucket of S3's page by page, in the bucket's order, so that there
    may be any number in one folder.

    Args:
        folder: its path or URL.

    Raises:
        InputError: if a folder cannot be listed.
    """
    if folder.startswith(_IN_PAGES):
        yield from _pages(folder)
        return
    for one in entries(folder):
        if one.is_folder:
            yield from walk(one.path)
        else:
            yield one.path


def _pages(folder: str) -> Iterator[str]:
    """The objects below a folder of S3's, a thousand at a time."""
    files, place = file_system(folder)
    bucket, _, prefix = place.rstrip("/").partition("/")
    prefix = f"{prefix}/" if prefix else ""
    asked = {"Bucket": bucket, "Prefix": prefix}
    while True:
        try:
            page = patiently(partial(files.call_s3, "list_objects_v2", **asked), folder)
        except OSError as error:
            raise InputError(f"The folder '{folder}' cannot be listed: {words_of(error, folder)}.") from error
        for one in page.get("Contents", ()):
            inside = str(one["Key"])[len(prefix) :]
            if inside and not inside.endswith("/") and not any(p.startswith(".") for p in inside.split("/")):
                yield f"{folder.rstrip('/')}/{inside}"
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def matching(pattern: str) -> list[str]:
    """The files that a glob matches, in natural order."""
    if not is_url(pattern):
        import glob

        found = [path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()]  # noqa: PTH207
    else:
        files, place = file_system(pattern)
        found = [str(files.unstrip_protocol(one)) for one in patiently(partial(files.glob, place), pattern)]
    return sorted(found, key=lambda path: (natural_key(path), path))


def _listed(folder: str) -> list[Entry]:
    if not is_url(folder):
        with os.scandir(folder) as found:
            return [Entry(one.path, one.name, one.is_dir()) for one in found]
    files, place = file_system(folder)
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


def file_system(path: str) -> tuple[Any, str]:
    """What fsspec reads a URL with, and how that calls the path.

    Args:
        path: the URL.

    Raises:
        InputError: if there is no way to read such URLs; the message says what to install.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(f"reading {path}", "runs") from error
    try:
        files, place = url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise InputError(f"'{path}': {words_of(error, path)}.") from error
    return files, str(place)


def words_of(error: Exception, path: str) -> str:
    """What an error says, in one line; of one that is about who asks, how one is let in.

    Args:
        error: of a library behind fsspec.
        path: what was to be read or written.
    """
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    line = str(text).splitlines()[0].rstrip(".")
    protocol = {"s3a": "s3", "gcs": "gs"}.get(found := path.partition("://")[0], found)
    if protocol in _ADMITTED and (_is_refusal(error) or isinstance(error, PermissionError)):
        return f"{line}. Who are you? Say it with {_ADMITTED[protocol]}"
    return line


def _is_refusal(error: Exception) -> bool:
    """Whether a library does not know who asks, and so cannot ask a server."""
    return "Credential" in type(error).__name__
