"""The rows of a page, read from the shards that they are in and from no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int64

from camscope.errors import InputError, first_line
from camscope.runs.arrow_numbers import as_arrow, numbers_in
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.sorted_keys import ids_of, key_of
from camscope.runs.store_paths import StorePath, parquet_read

_AT_ONCE = 4


@dataclass(frozen=True, eq=False)
class Page:
    """Some rows of a run, one after another in the order that was asked for.

    Attributes:
        table: the rows, as an Arrow table.
        count: of all rows that were asked for, those of other pages included.
        offset: how many of these stand before.
    """

    table: Any
    count: int
    offset: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows, each as a dictionary."""
        found: list[dict[str, Any]] = self.table.to_pylist()
        return found

    def __len__(self) -> int:
        return int(self.table.num_rows)


def rows_by_key(
    files: Mapping[int, StorePath],
    shard_size: int,
    keys: Int64[np.ndarray, " row"],
    names: Sequence[str],
    *,
    schema: Any,
) -> Any:
    """Rows by their keys, in the order of these, as an Arrow table.

    Args:
        files: of the shards, by their numbers.
        shard_size: how many images a shard has.
        keys: of the rows, see `sorted_keys`.
        names: of the columns.
        schema: of the shards.

    Raises:
        InputError: if a file is damaged.
    """
    pa, _ = pyarrow_modules()
    shards = ids_of(keys) // shard_size
    numbers = np.unique(shards)
    read = partial(_of_shard, list(dict.fromkeys(["id", "row", *names])))
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        own = [keys[shards == number] for number in numbers]
        parts = list(threads.map(read, (files[int(number)] for number in numbers), own))
    if not parts:
        return pa.schema([schema.field(name) for name in names]).empty_table()
    table = pa.concat_tables(parts)
    found = _keys(table)
    first = np.argsort(found)
    places = first[np.searchsorted(found[first], keys)]
    return table.take(as_arrow(places)).select(list(names))


def _of_shard(names: Sequence[str], file: StorePath, keys: Int64[np.ndarray, " row"]) -> Any:
    pa, _ = pyarrow_modules()
    try:
        table = parquet_read(file, lambda shard: shard.read(names, use_threads=False))
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"'{file}' is damaged: {first_line(error)}. Run the same camscope run again, which makes this "
            "shard anew and no other."
        ) from error
    return table.take(as_arrow(np.flatnonzero(np.isin(_keys(table), keys))))


def _keys(table: Any) -> Int64[np.ndarray, " row"]:
    return key_of(numbers_in(table["id"]), numbers_in(table["row"]).astype(np.int64))
