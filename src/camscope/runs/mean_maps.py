"""Mean maps of groups of rows, made as the rows pass by."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import displayed, resize, whole
from camscope.runs.arrow_numbers import numbers_in


@dataclass(frozen=True, eq=False)
class MeanMap:
    """The mean of some maps.

    Attributes:
        map: the mean of the maps as they are shown, each divided by its own maximum, at the layer's resolution.
        count: of how many it is; maps that are zero do not count.
    """

    map: Float[np.ndarray, "*space"]
    count: int


@dataclass
class MeanMaps:
    """Mean maps by group. Where maps of a group have several shapes, its first is taken.

    Attributes:
        sums: of the maps, by group.
        counts: of them.
    """

    sums: dict[Hashable, Float[np.ndarray, "*space"]] = field(default_factory=dict)
    counts: dict[Hashable, int] = field(default_factory=dict)

    def add(self, group: Hashable, shown: Float[np.ndarray, "*space"]) -> None:
        """Add a map to a group.

        Args:
            group: which.
            shown: the map as it is shown.
        """
        most = shown.max(initial=0.0)
        if most <= 0:
            return
        sums = self.sums.get(group)
        one = (shown if sums is None else fitted(shown, sums)) / most
        self.sums[group] = one.astype(np.float32) if sums is None else sums + one
        self.counts[group] = self.counts.get(group, 0) + 1

    def means(self) -> Mapping[Hashable, MeanMap]:
        """The mean of each group."""
        return {
            group: MeanMap(sums / self.counts[group], self.counts[group]) for group, sums in self.sums.items()
        }


def shown_maps(
    batch: Any, facts: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[int, Float[np.ndarray, "*space"]]]:
    """The maps of an Arrow table of rows as they are shown, and the number of each row; failed rows are left out.

    Args:
        batch: with the columns `map`, `map_shape`, `scale` and `method`.
        facts: of the plan; say whether a method's evidence against is left out.
    """
    cells, starts = _in_one_piece(batch["map"])
    shapes, scales = batch["map_shape"].to_pylist(), batch["scale"].to_pylist()
    alike: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for row, (method, shape) in enumerate(zip(batch["method"].to_pylist(), shapes, strict=True)):
        if shape is not None:
            alike.setdefault((method, tuple(shape)), []).append(row)
    found: dict[int, Float[np.ndarray, "*space"]] = {}
    for (method, shape), rows in alike.items():  # at once: one by one takes ten times as long
        places = starts[rows][:, None] + np.arange(math.prod(shape))
        raw = whole(cells[places].reshape(-1, *shape), np.array([scales[row] for row in rows], np.float32))
        found |= zip(rows, displayed(raw, rectified=bool(facts[method]["rectified"])), strict=True)
    yield from sorted(found.items(), key=lambda one: one[0])


def _in_one_piece(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a column of lists one after another, and where those of each row begin."""
    lists = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    return numbers_in(lists.values), numbers_in(lists.offsets)


def raw_map(cell: Any, shape: Any, scale: float) -> Float[np.ndarray, "*space"]:
    """The raw signed map in the cell of a row.

    Args:
        cell: an Arrow list.
        shape: of the map.
        scale: of the map.
    """
    halves = cell.values.to_numpy(zero_copy_only=False).reshape(shape)
    return whole(halves, np.asarray(scale, np.float32))


def fitted(one: Float[np.ndarray, "*space"], other: Float[np.ndarray, "*some"]) -> Float[np.ndarray, "*some"]:
    """A map at the resolution of another one."""
    return one if one.shape == other.shape else np.asarray(resize(one[None, None], other.shape))[0, 0]


def likeness(one: Float[np.ndarray, "*space"], other: Float[np.ndarray, "*some"]) -> float:
    """The cosine between two maps, 1 if they are the same but for a factor; NaN if one of them is zero."""
    a, b = fitted(one, other).astype(np.float64).ravel(), other.astype(np.float64).ravel()
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths > 0 else float("nan")
