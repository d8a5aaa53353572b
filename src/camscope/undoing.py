"""Undoing what was changed, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def surely(undo: Callable[[], None]) -> Iterator[None]:
    """Undo what is done in this context, also if an interrupt arrives while it is being undone.

    Args:
        undo: is called twice.
    """
    try:
        try:
            yield
        finally:
            undo()
    finally:
        undo()
