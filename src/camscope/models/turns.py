"""One thread at a time for each model, in the order they came."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

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


_locks: weakref.WeakKeyDictionary[Any, FairLock] = weakref.WeakKeyDictionary()
"""The lock of each part of each model that was explained. None is ever replaced by another."""


def locks_of(parts: Iterable[Any]) -> list[FairLock]:
    """What to hold in order to have a model to oneself, in the order in which to take them.

    It is one lock, which the model's parts share with it, so that a part may be explained by itself. Only where parts
    had been explained before the whole, there is one for each of these.

    Args:
        parts: the model and all its modules or layers.
    """
    every = list(parts)
    known = next((_locks[part] for part in every if part in _locks), None) or FairLock()
    found = {_locks.setdefault(part, known) for part in every}
    return sorted(found, key=lambda lock: lock.number)


@contextmanager
def alone_with(parts: Iterable[Any]) -> Iterator[None]:
    """Have a model to this thread alone. Other threads that ask for it wait, and are served in the order they came.

    Inside it may be entered again.

    Args:
        parts: the model and all its layers.
    """
    turn = Turn()
    locks = [lock for lock in locks_of(parts) if not lock.is_held_here]

    def leave() -> None:
        for lock in locks:
            lock.leave(turn)

    with surely(leave):
        for lock in locks:
            lock.wait(turn)
        yield
