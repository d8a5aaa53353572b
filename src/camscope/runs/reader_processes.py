"""Processes that read and decode inputs ahead of what is explained."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from camscope.cores import own_cores
from camscope.runs.reading_one import Reading, ReadPhoto, Unread
from camscope.runs.sources.one_input import Input

PATIENCE = 300.0
"""Seconds after which a process that reads one input is ended."""

_MOST = 8


class Readers:
    """Processes that read inputs, each with a thread here that talks to it.

    Args:
        count: of processes; None for one for each core, eight at most.
        reading: how they read.
        ahead: how many inputs are read ahead at most.
        patience: seconds after which a process that reads one input is ended.
    """

    def __init__(self, count: int | None, reading: Reading, ahead: int, patience: float = PATIENCE) -> None:
        self._count = count or min(_MOST, own_cores())
        self._reading, self._patience = reading, patience
        self._ahead = max(ahead, self._count)
        self._own, self._all, self._closed = threading.local(), set[_Worker](), False
        self._threads = ThreadPoolExecutor(self._count, "camscope-reader")

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *error: object) -> None:
        self._closed = True
        for worker in list(self._all):
            worker.end()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def read(self, inputs: Iterable[Input]) -> Iterator[tuple[Input, ReadPhoto | Unread]]:
        """Each input as it was read, in order; others are read meanwhile.

        Args:
            inputs: as a stream, of which only so many are taken as are read ahead.
        """
        waiting: deque[tuple[Input, Future[ReadPhoto | Unread]]] = deque()
        for one in inputs:
            waiting.append((one, self._threads.submit(self._read, one)))
            if len(waiting) >= self._ahead:
                first, found = waiting.popleft()
                yield first, found.result()
        while waiting:
            first, found = waiting.popleft()
            yield first, found.result()

    def _read(self, one: Input) -> ReadPhoto | Unread:
        """Read an input; if the process dies of it, once more by another: it may have been ended for memory."""
        why = ""
        for _ in range(2):
            if self._closed:
                return Unread("the run was ended")
            try:
                return self._worker().ask(one)
            except _DiedError as died:
                why = str(died)
                self._all.discard(self._own.worker)
                self._own.worker = None
        return Unread(f"'{one.source}': the process that read it {why}, twice.")

    def _worker(self) -> _Worker:
        """The process of this thread."""
        if getattr(self._own, "worker", None) is None:
            self._own.worker = _Worker(self._patience)
            self._all.add(self._own.worker)
            self._own.worker.tell(self._reading)
        worker: _Worker = self._own.worker
        return worker


class _DiedError(Exception):
    """A process that reads has ended; the message says how, as a part of a sentence."""


class _Worker:
    """One process that reads."""

    def __init__(self, patience: float) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        self._patience = patience
        self._process = subprocess.Popen(
            [sys.executable, "-m", "camscope.runs.reading_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            process_group=0,  # Ctrl-C is for the process that explains
        )
        self._late = False

    def ask(self, one: Input) -> ReadPhoto | Unread:
        """Have an input read.

        Raises:
            _DiedError: if the process ended.
        """
        assert self._process.stdout is not None
        clock = threading.Timer(self._patience, self._too_late)
        clock.daemon = True
        clock.start()
        try:
            self.tell(one)
            found: ReadPhoto | Unread = pickle.load(self._process.stdout)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise _DiedError(self._how_it_ended()) from error
        finally:
            clock.cancel()
        return found

    def end(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()

    def tell(self, what: Any) -> None:
        """Send it something.

        Raises:
            _DiedError: if the process ended.
        """
        assert self._process.stdin is not None
        try:
            pickle.dump(what, self._process.stdin, protocol=5)
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise _DiedError(self._how_it_ended()) from error

    def _too_late(self) -> None:
        self._late = True
        with suppress(OSError):
            self._process.kill()

    def _how_it_ended(self) -> str:
        self.end()
        status = self._process.returncode
        if self._late:
            return f"was not done after {self._patience:g} seconds"
        if status == -signal.SIGKILL:
            return "was killed, as the system does where memory runs out,"
        if status < 0:
            return f"crashed ({signal.Signals(-status).name})"
        return f"ended with status {status}"
