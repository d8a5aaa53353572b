"""A model as it is now, looked at once for a whole call: its modules are many, and one call sees one state of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from camscope.models.jax.taps import Tappable


class States:
    """Tells the structure and the arrays of one model.

    Args:
        model: the model.
    """

    def __init__(self, model: Tappable) -> None:
        self._model = model
        self._held: ContextVar[list[tuple[Any, Any]] | None] = ContextVar("held", default=None)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, the model stays as it is when it is looked at first, for this thread; may be entered again inside."""
        if self._held.get() is not None:
            yield
            return
        before = self._held.set([])
        try:
            yield
        finally:
            self._held.reset(before)

    def now(self) -> tuple[Any, Any]:
        """See `camscope.models.jax.taps.Tappable.now`."""
        held = self._held.get()
        if held is None:
            return self._model.now()
        if not held:
            held.append(self._model.now())
        return held[0]
