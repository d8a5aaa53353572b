"""Batch by batch what becomes of each input; the next ones are read by threads while the model explains.

Decoding runs beside Python, so threads do what processes would, without the pixels of each photo going through a pipe:
that doubles what reading costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from camscope.cli.sources import Outcome, Sources
from camscope.cli.writers import useful_threads
from camscope.engine.explainer import Explainer
from camscope.errors import InputError, without_warnings


@contextmanager
def explained_in_batches(
    explainer: Explainer, sources: Sources, names: Sequence[str], size: int, options: Mapping[str, Any]
) -> Iterator[Iterator[list[Outcome]]]:
    """Read and explain sources: those of a batch that cannot be read, then those that can.

    Args:
        explainer: of the model.
        sources: what the inputs are among.
        names: of those that are explained.
        size: how many a batch has.
        options: of the explainer's call.

    Raises:
        CamscopeError: if the options do not suit the model.
    """

    def read(name: str) -> Any:
        return sources.read(explainer, name)

    def outcomes() -> Iterator[list[Outcome]]:
        reading = _read_ahead(pool, read, names, 2 * threads)
        for start in range(0, len(names), size):
            readable, found = {}, []
            for name in names[start : start + size]:
                try:
                    readable[name] = next(reading).result()
                except InputError as error:
                    found.append(Outcome(name, error))
            yield [*found, *(sources.explained(explainer, readable, options) if readable else ())]

    threads = useful_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="camscope-reader")
    with without_warnings():  # the filters belong to all threads: they are put back when these have ended
        try:
            yield outcomes()
        finally:
            pool.shutdown(cancel_futures=True)


def _read_ahead(
    pool: ThreadPoolExecutor, read: Callable[[str], Any], names: Sequence[str], ahead: int
) -> Iterator[Future[Any]]:
    """What is read of each input, in order; so many of those behind it have been begun by then."""
    begun: deque[Future[Any]] = deque()
    for name in names:
        begun.append(pool.submit(copy_context().run, read, name))
        if len(begun) > ahead:
            yield begun.popleft()
    yield from begun
