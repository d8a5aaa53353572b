"""A folder that one process at a time writes into, also if it is killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from camscope.errors import InputError, MissingExtraError

LOCK = ".lock"
"""The file by which a folder is held. It stays behind; what counts is whether a living process holds it."""


@contextmanager
def held(folder: Path, *, taken: str, what: str, extra: str) -> Iterator[None]:
    """Keep other processes out of a folder; the system lets go of it when this process ends in any way.

    Args:
        folder: that is there.
        taken: what is said if another process holds it.
        what: the work, for the message that filelock is missing.
        extra: that brings filelock.

    Raises:
        InputError: if another process holds it, or the file of the lock cannot be made.
        MissingExtraError: if filelock is not installed.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise MissingExtraError(what, extra) from error
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(taken) from error
    except OSError as error:
        raise InputError(f"{folder} cannot be written into: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()


def sweep(folder: Path) -> None:
    """Remove what killed writes left beside the files of a folder; see `camscope.surviving.aside`.

    Args:
        folder: that this process holds.
    """
    for left in folder.glob(".*.*/"):
        shutil.rmtree(left, ignore_errors=True)
