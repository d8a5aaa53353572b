"""What is made when a run is complete: one file of all rows without their maps, which questions are answered from."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from camscope.errors import InputError
from camscope.runs.mean_maps import MeanMaps, likeness, shown_maps
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.row_columns import HEAVY, SIMILARITY, schema
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import MARK, RunStore, mark_of, packing
from camscope.runs.store_paths import names_in, parquet_read, read_each, written_whole

_MAPS = ["id", "row", "target", "method", "layer", "map", "map_shape", "scale"]
_IN_A_GROUP = 100_000
"""So many rows are in a row group of the index: what is read at once."""


def finish(store: RunStore, plan: Plan) -> None:
    """Write the index: all columns but the large ones, and how like the mean map of its class each map is.

    The class is the target, and means are by method and layer; they are made in a first pass over the shards, which
    stay as they are. What is there already is not made again.

    Args:
        store: whose shards are all there.
        plan: of the run.

    Raises:
        InputError: if it cannot be written.
    """
    known = mark_of(store.index) if store.index.exists() else None
    if known is not None and known.get("plan") == plan.identity:
        return
    means = MeanMaps()
    for batch in _batches(store, plan, _MAPS):
        groups = _groups(batch)
        for row, shown in shown_maps(batch, plan.facts):
            means.add(groups[row], shown)
    typical = means.means()
    pa, pq = pyarrow_modules()
    known_sizes = dict(names_in(store.shards))
    sizes = [known_sizes[store.shard(shard).name] for shard in range(plan.shards)]
    mark = {"plan": plan.identity, "index": True, "sizes": sizes}
    of_shards = schema(trust=plan.asked.trust)
    light = [name for name in of_shards.names if name not in HEAVY]
    columns = pa.schema(
        [*(of_shards.field(name) for name in light), (SIMILARITY, pa.float32())],
        metadata={MARK: json.dumps(mark).encode()},
    )
    try:
        with (
            written_whole(store.index) as aside,
            pq.ParquetWriter(aside, columns, **packing(columns)) as file,
        ):
            waiting: list[Any] = []
            for batch in _batches(store, plan, [*light, "map"]):
                likes = pa.array(_likes(batch, plan, typical), pa.float32())
                waiting.append(pa.table([*(batch[name] for name in light), likes], schema=columns))
                if sum(part.num_rows for part in waiting) >= _IN_A_GROUP:
                    _write(file, waiting)
            _write(file, waiting)
    except OSError as error:
        raise InputError(
            f"{store.index} cannot be written: {error}. All shards are done; make room and run the same again."
        ) from error


def _write(file: Any, waiting: list[Any]) -> None:
    """Write the tables that wait as one row group."""
    pa, _ = pyarrow_modules()
    if waiting:
        table = pa.concat_tables(waiting).combine_chunks()
        file.write_table(table, row_group_size=max(1, table.num_rows))
        waiting.clear()


def _likes(batch: Any, plan: Plan, typical: Any) -> list[float | None]:
    """How like its class's mean map each map is; None where one is zero."""
    groups = _groups(batch)
    found: list[float | None] = [None] * batch.num_rows
    for row, shown in shown_maps(batch, plan.facts):
        if groups[row] in typical:
            value = likeness(shown, typical[groups[row]].map)
            found[row] = None if np.isnan(value) else value
    return found


def _batches(store: RunStore, plan: Plan, columns: list[str]) -> Iterator[Any]:
    """The rows of each shard, in order."""

    def rows(shard: int) -> Any:
        return parquet_read(store.shard(shard), lambda table: table.read(columns))

    return read_each(rows, range(plan.shards), store.path)


def _groups(batch: Any) -> list[Hashable]:
    """What mean map each row belongs to."""
    return list(zip(*(batch[name].to_pylist() for name in ("target", "method", "layer")), strict=True))
