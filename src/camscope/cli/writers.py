"""Files written in threads beside the model: compressing pictures takes as long as explaining them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from camscope.errors import InputError

_THREADS = min(4, os.cpu_count() or 1)
_WAITING = 4 * _THREADS
"""So many files may wait: more would fill the memory where the disk is slow."""


class Writers:
    """A context in which files are written. When it ends, also by Ctrl-C, all that were begun are written."""

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="camscope-writer")
        self._begun: deque[Future[None]] = deque()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if kind is None:
            self.finish()

    def write(self, path: Path, writes: Callable[[Path], object]) -> None:
        """Have a file written.

        Args:
            path: of the file; its folder is made.
            writes: writes it to a path.

        Raises:
            InputError: if an earlier file could not be written.
        """
        while len(self._begun) >= _WAITING or (self._begun and self._begun[0].done()):
            self._begun.popleft().result()
        self._begun.append(self._pool.submit(_write, path, writes))

    def finish(self) -> None:
        """Wait until all is written.

        Raises:
            InputError: if a file could not be.
        """
        while self._begun:
            self._begun.popleft().result()


def _write(path: Path, writes: Callable[[Path], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writes(path)
    except OSError as error:
        raise InputError(f"Cannot write to {path.parent}: {error.strerror or error}") from error
