"""What was made or found out for some keys, as far as it was used last."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar, cast

from camscope.fair_lock import FairLock, held

Value = TypeVar("Value")

_NOTHING: Any = object()


class LastUsed(Generic[Value]):
    """Values by keys. When there are too many, the one that was not used for longest makes room.

    Threads may share it. The worst that two of them can do is to make the same value twice: nothing is locked while a
    value is made.

    Args:
        most: so many are kept; or so much, if they have sizes. One is kept, however large.
        size: of a value; None counts values.
    """

    def __init__(self, most: int, size: Callable[[Value], int] | None = None) -> None:
        self._most, self._size = most, size
        self._values: dict[Hashable, Value] = {}  # what was used last stands last
        self._lock = FairLock()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy starts with nothing: it belongs to a copy of what the values were found out about."""
        return type(self), (self._most, self._size)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made now if it is not there.

        Args:
            key: any.
            make: makes it. It may itself ask for other keys.
        """
        found = self._used(key)
        return self.put(key, make()) if found is _NOTHING else cast(Value, found)

    def known(self, key: Hashable) -> Value | None:
        """The value of a key; None if it is not there."""
        found = self._used(key)
        return None if found is _NOTHING else cast(Value, found)

    def put(self, key: Hashable, value: Value) -> Value:
        """Keep a value, in place of what was there.

        Returns:
            The value.
        """
        with held(self._lock):
            self._values.pop(key, None)
            self._values[key] = value
            while len(self._values) > 1 and self._all() > self._most:
                del self._values[next(iter(self._values))]
        return value

    def _all(self) -> int:
        """How many values there are, or how much."""
        return len(self._values) if self._size is None else sum(map(self._size, self._values.values()))

    def clear(self) -> None:
        """Forget all."""
        with held(self._lock):
            self._values.clear()

    def _used(self, key: Hashable) -> object:
        """The value of a key, which now stands last; `_NOTHING` if it is not there."""
        with held(self._lock):
            if key not in self._values:
                return _NOTHING
            self._values[key] = found = self._values.pop(key)
            return found
