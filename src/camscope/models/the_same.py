"""Telling things apart by what they are, without keeping them alive: for what is remembered of them."""

from __future__ import annotations

import weakref
from typing import Any


class TheSame:
    """Equal to another one if both are of the very same thing, and that still exists.

    A thing's `id` alone would not do: when it is gone, the next thing may get the same.

    Args:
        thing: which. Only if it allows no weak reference, as a number or a list, it is told by its `id`.
    """

    __slots__ = ("_number", "_thing")

    def __init__(self, thing: Any) -> None:
        self._number = id(thing)
        try:
            self._thing: weakref.ref[Any] | None = weakref.ref(thing)
        except TypeError:
            self._thing = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TheSame) or self._number != other._number:
            return False
        if self._thing is None or other._thing is None:
            return self._thing is other._thing
        thing = self._thing()
        return thing is not None and thing is other._thing()

    def __hash__(self) -> int:
        return hash(self._number)
