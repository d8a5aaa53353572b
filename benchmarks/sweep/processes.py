"""One model in a process of its own, with limits of time and memory."""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType

import torch

from benchmarks.sweep.rows import Candidate, Row
from benchmarks.sweep.run import examine


class Nursery:
    """A process that runs no model, and forks one for every model to try.

    What a model had to import is imported in the nursery before it forks the next one: for small models that would
    take longer than all the rest.
    """

    def __enter__(self) -> Nursery:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,))
        self._process.start()
        other.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join()

    def isolated(self, candidate: Candidate, seconds: float, gigabytes: float) -> Row:
        """`examine` in a fresh process; a process that takes too long or dies is a failed row."""
        self._pipe.send((candidate, seconds, gigabytes))
        row: Row = self._pipe.recv()
        return row


def _serve(pipe: Connection) -> None:
    """Until nothing more is asked."""
    while True:
        try:
            candidate, seconds, gigabytes = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        row, imported = _forked(candidate, seconds, gigabytes)
        pipe.send(row)
        _import(imported)


def _forked(candidate: Candidate, seconds: float, gigabytes: float) -> tuple[Row, list[str]]:
    """The row, and the names of the modules that were imported for it."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(candidate, gigabytes, sender), daemon=True)
    process.start()
    sender.close()
    row, imported = Row.of(candidate), list[str]()
    try:
        if receiver.poll(seconds):
            row, imported = receiver.recv()
        else:
            row.reason = f"not done after {seconds:.0f} s"
    except EOFError:
        process.join()
        row.reason = f"the process ended by {process.exitcode}"
    finally:
        process.kill()
        process.join()
        receiver.close()
    return row, imported


def _work(candidate: Candidate, gigabytes: float, sender: Connection) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 2**30), most))
    torch.set_num_threads(1)
    before = set(sys.modules)
    try:
        row = examine(candidate)
    except BaseException as error:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))  # saying what happened takes memory too
        row = Row.of(candidate)
        row.reason = f"{type(error).__name__}: {error}".splitlines()[0][:300] + _raised_at(error)
    sender.send((row, [name for name in sys.modules if name not in before]))


def _import(names: Iterable[str]) -> None:
    for name in names:
        with suppress(ImportError):  # made by another module as it ran, and no file
            importlib.import_module(name)


def _raised_at(error: BaseException) -> str:
    """The last line of camscope's that an error came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/camscope/" in f.filename]
    return f" ({frames[-1].filename.rsplit('/camscope/', 1)[1]}:{frames[-1].lineno})" if frames else ""
