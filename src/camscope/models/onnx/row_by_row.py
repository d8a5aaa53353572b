"""Running on many rows at once, where that is the same as running on each alone; else on as many as the model takes.

A graph may be exported for a batch of one, and still not mix its rows; or say that it takes any number, and mix them (a
reshape to one row, a scale of the whole batch). So it is tried, once, in numbers, on rows that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Int, Shaped

RunRows: TypeAlias = Callable[[Int[np.ndarray, " some"]], Mapping[str, np.ndarray]]
"""Runs a graph on the rows with these numbers."""

_SAME = {"float16": 1e-2}
"""The largest difference between a row that ran with others and the same row alone, as a share of the number's size."""

_ROUNDED = {"float16": 1.0}
"""A number is no smaller for this than such a share of the largest: near zero it is the sum of larger ones."""


@dataclass
class Together:
    """Whether the rows of a graph may run together; found when it first runs on several.

    Attributes:
        at_a_time: how many rows it takes where they may not: those of its fixed batch, mostly one.
        allowed: whether they may; None as long as that is not known.
        refused: the error that several rows gave; None if none.
    """

    at_a_time: int = 1
    allowed: bool | None = None
    refused: Exception | None = None

    def run(self, run: RunRows, rows: int, judged: Collection[str]) -> Mapping[str, np.ndarray]:
        """Run a graph.

        Args:
            run: runs it on some rows.
            rows: how many there are.
            judged: those of its outputs that must be row by row, the same together as alone.

        Returns:
            What it put out. Where rows cannot run together, without what has no row for each of them.
        """
        every = np.arange(rows)
        if self.allowed or rows == self.at_a_time:
            return run(every)
        if self.allowed is False:
            return self._apart(run, every)
        try:
            together = run(every)
        except Exception as error:  # whatever the runtime raises: what matters is whether fewer rows run
            found = self._apart(run, every)
            self.allowed, self.refused = False, error
            return found
        ends = np.unique([0, rows - 1])
        alone = self._apart(run, ends)
        same = all(_same(together[name], alone[name], rows, ends) for name in judged)
        if not same or not judged or any(_differ(alone[name]) for name in judged):
            self.allowed = same
        return together if self.allowed else self._apart(run, every)

    def _apart(self, run: RunRows, rows: Int[np.ndarray, " some"]) -> Mapping[str, np.ndarray]:
        found: dict[str, list[Shaped[np.ndarray, "row ..."]]] = {}
        for start in range(0, len(rows), self.at_a_time):
            some = rows[start : start + self.at_a_time]
            # the last one again and again, where too few are left
            filled = np.concatenate([some, np.repeat(some[-1:], self.at_a_time - len(some))])
            for name, value in run(filled).items():
                if value.ndim and len(value) % self.at_a_time == 0:
                    share = len(value) // self.at_a_time * len(some)
                    found.setdefault(name, []).append(value[:share])
        return {name: np.concatenate(parts) for name, parts in found.items()}


def _differ(alone: np.ndarray) -> bool:
    """Whether the first row and the last differ: where they do not, mixing would not be seen."""
    ends = alone.reshape(2, -1) if len(alone) > 1 else alone[:0]
    return bool(len(ends) and (ends[0] != ends[1]).any())


def _same(together: np.ndarray, alone: np.ndarray, rows: int, ends: Int[np.ndarray, " some"]) -> bool:
    """Whether some rows are the same in both."""
    if together.ndim == 0 or len(together) % rows or alone.shape[1:] != together.shape[1:]:
        return False
    some = together.reshape(rows, -1)[ends].astype(np.float64)
    others = alone.reshape(len(ends), -1).astype(np.float64)
    if some.shape != others.shape:
        return False
    dtype, sizes = str(alone.dtype), np.abs(others).max(axis=0, initial=0)
    # each by its own size: beside a price of thousands a probability would be free
    sizes = np.maximum(sizes, _ROUNDED.get(dtype, 1e-3) * sizes.max(initial=0))
    return bool((np.abs(some - others) <= _SAME.get(dtype, 1e-3) * sizes).all())
