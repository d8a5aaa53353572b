"""What was made or found out for some keys, as far as it was used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

_NOTHING: Any = object()


class LastUsed(Generic[Value]):
    """Values by keys. When there are too many, the one that was not used for longest makes room.

    Threads may share it without a lock: each step is one operation of a dictionary, and the worst that two of them can
    do is to make the same value twice.

    Args:
        most: so many are kept; or so much, if they have sizes. One is kept, however large.
        size: of a value.
    """

    def __init__(self, most: int, size: Callable[[Value], int] = lambda _: 1) -> None:
        self._most, self._size = most, size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made now if it is not there.

        Args:
            key: any.
            make: makes it. It may itself ask for other keys.
        """
        found = self._values.get(key, _NOTHING)
        return self.put(key, make() if found is _NOTHING else found)

    def known(self, key: Hashable) -> Value | None:
        """The value of a key; None if it is not there."""
        found = self._values.get(key, _NOTHING)
        return None if found is _NOTHING else self.put(key, found)

    def put(self, key: Hashable, value: Value) -> Value:
        """Keep a value, in place of what was there.

        Returns:
            The value.
        """
        self._values.pop(key, None)
        self._values[key] = value
        while len(self._values) > 1 and sum(map(self._size, list(self._values.values()))) > self._most:
            self._values.popitem(last=False)
        return value

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()
