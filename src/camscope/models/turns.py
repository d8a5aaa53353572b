"""One thread at a time for each model, in the order they came."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from camscope.fair_lock import FairLock, held

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


def alone_with(parts: Iterable[Any]) -> AbstractContextManager[None]:
    """Have a model to this thread alone. Other threads that ask for it wait, and are served in the order they came.

    Inside it may be entered again.

    Args:
        parts: the model and all its layers.
    """
    return held(*locks_of(parts))
