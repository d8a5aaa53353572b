"""One thread at a time for each model, in the order they came."""

from __future__ import annotations

import itertools
import threading
import weakref
from queue import SimpleQueue

from torch import nn


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
    catches it need not know how far things had come.
    """

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.number = next(self._numbers)
        # re-entrant: the garbage collector may leave for somebody while this thread is inside
        self._guard = threading.RLock()
        self._queue: list[Turn] = []

    @property
    def is_held_here(self) -> bool:
        """Whether this thread holds it already."""
        with self._guard:
            return bool(self._queue) and self._queue[0].thread == threading.get_ident()

    def wait(self, turn: Turn) -> None:
        """Come to hold it, after all who came before."""
        with self._guard:
            self._queue.append(turn)
        while True:
            with self._guard:
                if self._queue[0] is turn:
                    return
            turn.woken.get()

    def leave(self, turn: Turn) -> None:
        """Hold it no more, or wait for it no more."""
        with self._guard:
            if turn in self._queue:
                self._queue.remove(turn)
            if self._queue:
                self._queue[0].woken.put(None)


_locks: weakref.WeakKeyDictionary[nn.Module, FairLock] = weakref.WeakKeyDictionary()
"""The lock of each module of each model that was explained."""

_registering = threading.RLock()


def locks_of(model: nn.Module) -> list[FairLock]:
    """What to hold in order to have a model to oneself, in the order in which to take them.

    It is one lock, which the model's parts share with it, so that a part may be explained by itself. Only where parts
    had been explained before the whole, there is one for each of these.

    Args:
        model: an unwrapped module.
    """
    with _registering:
        modules = list(model.modules())
        found = {_locks[module] for module in modules if module in _locks} or {FairLock()}
        in_order = sorted(found, key=lambda lock: lock.number)
        for module in modules:
            _locks.setdefault(module, in_order[0])
    return in_order
