"""Which rows answer a question, and in which order: found once, so that each further page costs only its own rows."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Int64, UInt32, UInt64

from camscope.runs.arrow_numbers import as_arrow, numbers_in, without_value
from camscope.runs.kept_memory import give_back

_ROW_BITS = 20
"""A row's key is the number of its image and, in so many bits, its own number among the rows of that image."""

_KEPT_BYTES = 64 << 20
"""So much memory the orders of earlier questions take: four bytes a row where images have one, else eight."""

_FEW_VALUES = 20_000
"""A text of so many values at most is sorted by their numbers; one of more takes long."""

_MOST_TEXT = 128 << 20
"""A text of so many bytes at most is sorted in memory; of more it is sorted by DuckDB, which can lay parts on disk."""

_NEAR = 1000
"""So far, rows that are sorted by such a text are found without sorting them all."""


class Order(NamedTuple):
    """What rows are sorted by; those without a value come last.

    Attributes:
        by: a column, or SQL over columns.
        descending: whether the largest comes first.
    """

    by: str
    descending: bool = False

    def __str__(self) -> str:
        return f"{self.by}\n{'DESC' if self.descending else 'ASC'} NULLS LAST"


KEY = f"(id << {_ROW_BITS}) | row AS key"
"""The key of a row, in a question."""


def ids_of(keys: Int64[np.ndarray, " row"]) -> Int64[np.ndarray, " row"]:
    """The number of each row's image."""
    return keys >> _ROW_BITS


def key_of(ids: Int64[np.ndarray, " row"], rows: Int64[np.ndarray, " row"]) -> Int64[np.ndarray, " row"]:
    """The key of each row, by its image and its number among the rows of that."""
    return np.asarray((ids << _ROW_BITS) | rows)


Packed: TypeAlias = Int64[np.ndarray, " row"] | UInt32[np.ndarray, " row"]
"""Keys of rows, or of rows that are the first of their images the numbers of these."""


def _packed(keys: Int64[np.ndarray, " row"]) -> Packed:
    ids = ids_of(keys)
    short = not (keys & ((1 << _ROW_BITS) - 1)).any() and ids.max(initial=0) <= np.iinfo(np.uint32).max
    return ids.astype(np.uint32) if short else keys


def _unpacked(kept: Packed) -> Int64[np.ndarray, " row"]:
    return kept.astype(np.int64) << _ROW_BITS if kept.dtype == np.uint32 else kept


@dataclass
class SortedKeys:
    """The keys of rows, in order, by the question; those found last are kept.

    Attributes:
        ask: gives the answer to a question as an Arrow table.
        stream: gives it in parts.
        kept: keys by what was asked, the latest last.
        slow: what was asked and takes long.
        lock: held while these change, since a store may be asked from several threads.
    """

    ask: Callable[[str], Any]
    stream: Callable[[str], Iterator[Any]]
    kept: OrderedDict[tuple[str, tuple[Order, ...]], Packed] = field(default_factory=OrderedDict)
    slow: set[tuple[str, tuple[Order, ...]]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, chosen: str, order: tuple[Order, ...]) -> int | None:
        """How many rows there are, if that is known from before.

        Args:
            chosen: which, as SQL.
            order: what they are sorted by.
        """
        keys = self.kept.get((chosen, order))
        return None if keys is None else len(keys)

    def page(
        self, chosen: str, order: tuple[Order, ...], offset: int, limit: int, *, keep: bool
    ) -> Int64[np.ndarray, " row"]:
        """The keys of some rows, one after another.

        Args:
            chosen: which, as SQL.
            order: what they are sorted by, then by image and row.
            offset: how many are left out before.
            limit: how many at most.
            keep: whether the order of all is found and kept; else it is found as far as this.
        """
        asked = (chosen, order)
        kept = self.kept.get(asked)
        if kept is None:
            keys = self._by_one(chosen, order) if keep and asked not in self.slow else None
            if keys is None:
                self.slow.add(asked)
                by = ", ".join(map(str, (*order, "key")))
                sql = f"SELECT {KEY} FROM ({chosen}) ORDER BY {by}"
                if not keep or offset + limit <= _NEAR:
                    return numbers_in(self.ask(f"{sql} LIMIT {limit} OFFSET {offset}")["key"])
                keys = self._by_text(chosen, order)
                keys = numbers_in(self.ask(sql)["key"]) if keys is None else keys
            kept = self._keep(asked, keys)
        return _unpacked(kept[offset : offset + limit])

    def _keep(self, asked: tuple[str, tuple[Order, ...]], keys: Int64[np.ndarray, " row"]) -> Packed:
        with self.lock:
            kept = self.kept[asked] = _packed(keys)
            while sum(one.nbytes for one in self.kept.values()) > _KEPT_BYTES and len(self.kept) > 1:
                self.kept.popitem(last=False)
        give_back()  # what was sorted is many times what is kept of it
        return kept

    def _by_one(self, chosen: str, order: tuple[Order, ...]) -> Int64[np.ndarray, " row"] | None:
        """All keys, where rows are sorted by numbers, or by a text that is one of few; None where they are not."""
        if not order:
            return np.sort(numbers_in(self.ask(f"SELECT {KEY} FROM ({chosen})")["key"]))
        if len(order) > 1:
            return None
        ((by, descending),) = order
        ranking = Ranking()
        keys = []
        for part in self.stream(f"SELECT {KEY}, ({by}\n) AS value FROM ({chosen})"):
            keys.append(numbers_in(part["key"]))
            if not ranking.add(part["value"]):
                return None
        if not keys:
            return np.zeros(0, np.int64)
        every, ranks = np.concatenate(keys), ranking.ranks(descending=descending)
        if (every[1:] < every[:-1]).any():
            first = np.argsort(every)
            every, ranks = every[first], ranks[first]
        return np.asarray(every[_sorted_places(ranks)])

    def _by_text(self, chosen: str, order: tuple[Order, ...]) -> Int64[np.ndarray, " row"] | None:
        """All keys, where rows are sorted by a text that fits the memory; None where it is none, or does not.

        DuckDB's own sort holds rows as they are sorted several times. What all texts begin with, such as the folder of
        paths, is left out: it is most of their memory.
        """
        import pyarrow as pa
        from pyarrow import compute

        if len(order) > 1:
            return None
        ((by, descending),) = order
        ends = self.ask(
            f"SELECT min(value) AS low, max(value) AS high FROM (SELECT ({by}\n) AS value FROM ({chosen}))"
        )
        low, high = (ends[name][0].as_py() for name in ("low", "high"))
        if not isinstance(low, str):
            return None
        alike = itertools.takewhile(lambda both: both[0] == both[1], zip(low, high, strict=False))
        shared = sum(1 for _ in alike)  # of the first and the last, and so of all between
        found, texts, size = [], [], 0
        for part in self.stream(f"SELECT {KEY}, substr(({by}\n), {shared + 1}) AS value FROM ({chosen})"):
            size += part["value"].nbytes
            if size > _MOST_TEXT:
                return None
            found.append(numbers_in(part["key"]))
            texts.append(part["value"])
        if not found:
            return np.zeros(0, np.int64)
        keys, values = np.concatenate(found), pa.chunked_array(texts)
        del found, texts
        if (keys[1:] < keys[:-1]).any():
            first = np.argsort(keys)
            keys, values = keys[first], values.take(as_arrow(first))
        towards = "descending" if descending else "ascending"
        places = compute.array_sort_indices(values, order=towards, null_placement="at_end")  # a stable sort
        return np.asarray(keys[numbers_in(places)])


class Ranking:
    """Values that come in parts, as whole numbers in the same order."""

    def __init__(self) -> None:
        self._parts: list[UInt32[np.ndarray, " value"]] = []
        self._none: list[Bool[np.ndarray, " value"]] = []
        self._codes: dict[Any, int] = {}

    def add(self, values: Any) -> bool:
        """Take a part in; gives whether it is of a kind that this is for.

        Args:
            values: an Arrow array.
        """
        import pyarrow as pa

        none = without_value(values)
        if pa.types.is_float32(values.type):
            numbers = numbers_in(values) + np.float32(0)  # of -0.0 it makes 0.0
            bits = np.where(np.isnan(numbers), np.float32(np.nan), numbers).view(np.uint32)
            self._parts.append(np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)))
        elif pa.types.is_string(values.type) or pa.types.is_integer(values.type):
            coded = values.dictionary_encode()
            codes = [self._codes.setdefault(one, len(self._codes)) for one in coded.dictionary.to_pylist()]
            places = np.where(none, len(codes), numbers_in(coded.indices))
            self._parts.append(np.array([*codes, 0], np.uint32)[places])
        else:
            return False
        self._none.append(none)
        return len(self._codes) <= _FEW_VALUES

    def ranks(self, *, descending: bool) -> UInt32[np.ndarray, " value"]:
        """A number for each value: in their order, equal where these are, the highest where there is none.

        Args:
            descending: whether they are in the other order.
        """
        ranks = np.concatenate(self._parts)
        if self._codes:
            ordered = sorted(self._codes, key=lambda one: one.encode() if isinstance(one, str) else one)
            rank_of = np.zeros(len(ordered), np.uint32)
            rank_of[[self._codes[one] for one in ordered]] = np.arange(len(ordered))
            ranks = rank_of[ranks]
        if descending:
            ranks = ~ranks - np.uint32(1)
        ranks[np.concatenate(self._none)] = np.iinfo(np.uint32).max
        return ranks


def _sorted_places(ranks: UInt32[np.ndarray, " row"]) -> UInt64[np.ndarray, " row"]:
    """The places of numbers in their order, equal ones as they stand: by one sort of both in one word.

    It takes a fifth of the time of a stable sort of places.
    """
    places = (ranks.astype(np.uint64) << np.uint64(32)) | np.arange(len(ranks), dtype=np.uint64)
    places.sort()
    return places & np.uint64(0xFFFFFFFF)
