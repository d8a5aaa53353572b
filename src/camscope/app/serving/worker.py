"""A thread that does one thing after another: what is asked of one model never waits for another one's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from camscope.app.serving.refusals import BusyError, SupersededError

_MOST_WAITING = 256
"""So many wishes wait at most; more are refused, and may be asked again."""

Result = TypeVar("Result")


class Worker:
    """Does what it is asked to, one after another. What is not wanted any more before it has begun is left out.

    Args:
        name: of its thread.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"camscope {name}")
        self._newest: dict[str, Future[Any]] = {}
        self._waiting = 0

    def begin(self, call: Callable[[], Result]) -> Future[Result]:
        """Have something done, without waiting for it.

        Args:
            call: what.
        """
        return self._thread.submit(call)

    async def do(self, call: Callable[[], Result], *, page: str | None = None) -> Result:
        """Have something done, and wait for it; if the waiting is cancelled before it has begun, it never begins.

        Args:
            call: what.
            page: who wishes it: a newer wish of the same page takes the place of one that has not begun.

        Raises:
            BusyError: if too much is waiting already.
            SupersededError: if a newer wish took its place.
        """
        if self._waiting >= _MOST_WAITING:
            raise BusyError(
                f"{self._waiting} requests wait for this model already. Ask again when some are answered."
            )
        if page is not None and page in self._newest:
            self._newest[page].cancel()
        future = self.begin(call)
        self._waiting += 1
        if page is not None:
            self._newest[page] = future
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if page is not None and self._newest.get(page) is not future:
                raise SupersededError("A newer request of this page took the place of this one.") from None
            raise
        finally:
            self._waiting -= 1
            if page is not None and self._newest.get(page) is future:
                del self._newest[page]
