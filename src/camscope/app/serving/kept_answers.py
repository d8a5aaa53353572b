"""Answers that were given, so that going back to one costs nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

_BYTES = 128 * 2**20


class KeptAnswers:
    """The answers that were asked for last, up to a number of bytes. Threads may ask it at the same time.

    Args:
        most: bytes of all together.
    """

    def __init__(self, most: int = _BYTES) -> None:
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._most, self._bytes = most, 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> bytes | None:
        """One of them; None if it is not there (any more).

        Args:
            key: what was asked.
        """
        with self._lock:
            answer = self._kept.get(key)
            if answer is not None:
                self._kept.move_to_end(key)
            return answer

    def put(self, key: Hashable, answer: bytes) -> None:
        """Keep one; the oldest make room.

        Args:
            key: what was asked.
            answer: what was answered.
        """
        with self._lock:
            self._bytes += len(answer) - len(self._kept.pop(key, b""))
            self._kept[key] = answer
            while self._bytes > self._most:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest)
