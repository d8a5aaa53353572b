"""A lock that threads hold in the order they came, and that no interrupt leaves held.

`with threading.Lock():` does not promise the latter: an interrupt may fly after the block has ended and before the lock
is let go. Then every other thread waits for ever.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue

from camscope.undoing import surely


class Turn:
    """One thread's wish to have a model to itself.

    Attributes:
        thread: which thread's.
        woken: gets something whenever the turn may have come.
    """

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.woken: SimpleQueue[None] = SimpleQueue()


class FairLock:
    """Held by the first turn in a queue; when that leaves, the next one holds it.

    `leave` may be called more than once, and for a turn that never came: an interrupt may fly at any time, and whoever
    catches it need not know how far things had come. For the same reason nothing here takes another lock, which an
    interrupt could leave locked: each step is one operation of a list or a queue, which no other thread can divide.
    """

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.number = next(self._numbers)
        self._queue: list[Turn] = []

    @property
    def is_held_here(self) -> bool:
        """Whether this thread holds it already."""
        return any(first.thread == threading.get_ident() for first in self._queue[:1])

    def wait(self, turn: Turn) -> None:
        """Come to hold it, after all who came before."""
        self._queue.append(turn)
        while self._queue[0] is not turn:
            turn.woken.get()

    def leave(self, turn: Turn) -> None:
        """Hold it no more, or wait for it no more."""
        with suppress(ValueError):  # it is not in the queue
            self._queue.remove(turn)
        for first in self._queue[:1]:
            first.woken.put(None)


@contextmanager
def held(*locks: FairLock) -> Iterator[None]:
    """Hold some locks in this context, and no longer, wherever an interrupt flies. Those held already stay so.

    Args:
        locks: in an order in which all threads take them.
    """
    turn = Turn()
    others = [lock for lock in locks if not lock.is_held_here]

    def leave() -> None:
        for lock in others:
            lock.leave(turn)

    with surely(leave):
        for lock in others:
            lock.wait(turn)
        yield
