"""Files drawn and written in threads beside the model: that takes longer than to explain."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from camscope.cores import own_cores

_P = ParamSpec("_P")
_T = TypeVar("_T")


def useful_threads() -> int:
    """How many threads are of use: one for each core, four at most, since each holds photos."""
    return min(4, own_cores())


class Writers:
    """A context in which inputs are drawn and their files written. When it ends, also by Ctrl-C, all begun are there.

    NumPy and Pillow draw beside Python, so threads do what processes would, which each would import all of this first,
    and be sent every photo.

    Args:
        count: of inputs that are drawn at a time. matplotlib draws one.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="camscope-writer")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def begin(self, writes: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> Future[_T]:
        """Have the files of an input drawn and written.

        Args:
            writes: does so.
            args: of it.
            options: of it.
        """
        return self._pool.submit(partial(copy_context().run, writes, *args, **options))
