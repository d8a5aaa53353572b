"""When a training is looked at: after which steps."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeAlias

from camscope.errors import InputError, nearest

When: TypeAlias = "str | int | Callable[[int], Any] | Collection[int]"
"""`powers` (steps 1, 2, 4, 8 …: a network changes most at first), a number n (every n steps), the steps themselves,
or a function that tells of a step whether it is one."""

Due: TypeAlias = Callable[[int], bool]
"""Tells of a step, counted from 1, whether it is to be looked at."""


def due_at(when: When) -> Due:
    """What tells whether a step is to be looked at.

    Args:
        when: see `When`.

    Raises:
        InputError: if it is none of these.
    """
    if when == "powers":
        return lambda step: step > 0 and step & (step - 1) == 0
    if callable(when):
        return lambda step: bool(when(step))
    if isinstance(when, int) and not isinstance(when, bool) and when > 0:
        return lambda step: step % when == 0
    if isinstance(when, (set, frozenset, list, tuple, range)) and all(_is_step(step) for step in when):
        steps = frozenset(when)
        return lambda step: step in steps
    hint = nearest(when, ["powers"]) if isinstance(when, str) else ""
    raise InputError(
        f"when={when!r}: expected 'powers' (steps 1, 2, 4, 8 …), a whole number n above 0 (every n steps), a set of "
        f"steps such as {{1, 10, 100}}, or a function from a step to whether it is to be looked at.{hint}"
    )


def _is_step(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= 0
