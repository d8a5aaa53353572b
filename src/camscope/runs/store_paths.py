"""Where a store lies: in a folder of this machine or of a shared file system, or behind a URL, in a bucket say.

A file of a store is there as a whole or not at all. In a folder it is written aside and renamed. A rename in a bucket
is a copy and no single step, but a put is one: an object is there when all of it is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar, overload

from camscope.errors import ImageError, InputError
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.sources.remote_files import (
    beside,
    content,
    file_system,
    folder_of,
    is_file,
    is_folder,
    is_url,
    opened,
    patiently,
    words_of,
)
from camscope.surviving import written_aside

_PUT_AT_ONCE = {"abfs", "abfss", "adl", "az", "gcs", "gs", "hf", "memory", "oci", "oss", "s3", "s3a"}
"""Protocols of which a put is a single step, and folders are nothing that must be made."""

_LOCAL = "file://"

_AT_ONCE = 16
"""So many files of a bucket are read at the same time: each takes its time, and none takes the network."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class BucketPath:
    """A path behind a URL, with those of pathlib's words that a store needs.

    Attributes:
        url: the whole.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __fspath__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> BucketPath:
        return BucketPath(beside(self.url, name))

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> BucketPath:
        """The folder that it is in."""
        return BucketPath(folder_of(self.url.rstrip("/")))

    def resolve(self) -> BucketPath:
        """The same: behind a URL nothing stands for another."""
        return self

    def is_file(self) -> bool:
        """Whether there is such a file."""
        self._look_anew()
        return is_file(self.url)

    def is_dir(self) -> bool:
        """Whether anything lies below it."""
        self._look_anew()
        return is_folder(self.url)

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return self.is_file() or self.is_dir()

    def read_text(self, encoding: str = "utf-8") -> str:
        """What is in the file.

        Raises:
            FileNotFoundError: if there is none.
            ImageError: if it cannot be read.
        """
        if not self.is_file():
            raise FileNotFoundError(self.url)
        return content(self.url).decode(encoding)

    def put(self, file: Path) -> None:
        """Put a file of this machine into its place, in one step where the protocol has one.

        Raises:
            OSError: if it cannot be written.
        """
        files, place = file_system(self.url)
        at_once = self.url.partition("://")[0] in _PUT_AT_ONCE

        def write() -> None:
            if at_once:
                files.put_file(str(file), place)
                return
            aside = f"{place}.{uuid.uuid4().hex}"
            files.makedirs(folder_of(place), exist_ok=True)
            files.put_file(str(file), aside)
            files.mv(aside, place)

        _tried(write, self.url)

    def unlink(self, missing_ok: bool = False) -> None:
        """Take the file away."""
        files, place = file_system(self.url)
        if not missing_ok or self.is_file():
            _tried(lambda: files.rm_file(place), self.url)

    def remove_tree(self) -> None:
        """Take away all that lies below it."""
        files, place = file_system(self.url)
        if self.is_dir():
            _tried(lambda: files.rm(place, recursive=True), self.url)

    def _look_anew(self) -> None:
        """Forget what was listed: others write here too."""
        files, _ = file_system(self.url)
        files.invalidate_cache()


StorePath: TypeAlias = Path | BucketPath
"""A file or folder of a store."""


def store_path(given: object) -> StorePath:
    """The path or URL that someone gave.

    Args:
        given: a path, or text.
    """
    if isinstance(given, BucketPath):
        return given
    text = str(given)
    if text.startswith(_LOCAL):
        return Path(text.removeprefix(_LOCAL))
    return BucketPath(text.rstrip("/")) if is_url(text) else Path(text)


@overload
def absolute(path: Path) -> Path: ...
@overload
def absolute(path: BucketPath) -> BucketPath: ...
def absolute(path: StorePath) -> StorePath:
    """The path as it is called from everywhere."""
    return path.absolute() if isinstance(path, Path) else path


@contextmanager
def written_whole(path: StorePath) -> Iterator[Path]:
    """A path on this machine. What is written there takes its place when the block ends, in one step.

    If the block ends otherwise, also by an interrupt, what was in the place before still is.

    Args:
        path: the file.

    Raises:
        OSError: if it cannot be put into its place.
        InputError: if nothing can be written beside it.
    """
    if isinstance(path, Path):
        with written_aside(path) as aside:
            yield aside
        return
    folder = Path(tempfile.mkdtemp(prefix="camscope-"))
    try:
        yield folder / path.name
        path.put(folder / path.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def names_in(folder: StorePath) -> Iterator[tuple[str, int]]:
    """The names of what lies in a folder, in no order, and how many bytes each has.

    Args:
        folder: whose. What is not there has nothing in it.

    Raises:
        OSError: if it cannot be listed.
    """
    if isinstance(folder, Path):
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for one in entries:
                yield one.name, one.stat().st_size
        return
    files, place = file_system(folder.url)
    files.invalidate_cache()
    try:
        found = patiently(lambda: files.ls(place, detail=True), folder.url)
    except FileNotFoundError:
        return
    start = place.rstrip("/")
    for one in found:
        path = str(one["name"]).rstrip("/")
        if path != start:
            yield path.rpartition("/")[2], int(one.get("size") or 0)


def parquet_read(path: StorePath, read: Callable[[Any], R]) -> R:
    """What is read of a Parquet file of a store; of a bucket again after a while, where the network fails.

    Args:
        path: of the file.
        read: reads of the open `ParquetFile`.

    Raises:
        pyarrow.ArrowException, OSError: if it is none, or not there.
        ImageError: if a bucket does not give it.
    """
    _, pq = pyarrow_modules()

    def once() -> R:
        stream: IO[bytes]
        with opened(str(path)) as stream, pq.ParquetFile(stream) as table:
            return read(table)

    return once() if isinstance(path, Path) else patiently(once, path.url)


def read_each(read: Callable[[T], R], of: Iterable[T], where: StorePath) -> Iterator[R]:
    """What is read of each of some files, in their order; of a bucket several at a time.

    Args:
        read: reads one.
        of: what is read, as a stream.
        where: they lie.
    """
    if isinstance(where, Path):
        yield from map(read, of)
        return
    with ThreadPoolExecutor(_AT_ONCE, "camscope-bucket") as threads:
        waiting: deque[Future[R]] = deque()
        for one in of:
            waiting.append(threads.submit(read, one))
            if len(waiting) >= _AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def remove_tree(path: StorePath) -> None:
    """Take away a folder with all that is in it, if it is there."""
    if isinstance(path, Path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.remove_tree()


def make_folder(path: StorePath) -> None:
    """Make a folder, if it is not there; in a bucket there is nothing to make.

    Raises:
        OSError: if it cannot be made.
    """
    if isinstance(path, Path):
        path.mkdir(parents=True, exist_ok=True)


def _tried(write: Any, url: str) -> None:
    """Write something behind a URL, again after a while where the network fails.

    Raises:
        OSError: if it cannot be written.
    """
    try:
        patiently(write, url, "written")
    except ImageError as error:
        raise OSError(0, str(error)) from error
    except (ValueError, ImportError) as error:
        if isinstance(error, InputError):
            raise
        raise OSError(0, words_of(error, url)) from error
