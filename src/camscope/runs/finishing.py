"""What is known only when a run is complete: how like the mean map of its class each map is."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from camscope.errors import InputError
from camscope.runs.mean_maps import MeanMaps, likeness, shown_maps
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore, mark_of
from camscope.surviving import written_aside

_COLUMNS = ["id", "row", "target", "method", "layer", "map", "map_shape", "scale"]


def finish(store: RunStore, plan: Plan) -> None:
    """Write how like the mean map of its class, method and layer each map is, in two passes over the shards.

    The shards stay as they are; the numbers lie beside them, by `id` and `row`, and a reader joins them. What is there
    already is not made again.

    Args:
        store: whose shards are all there.
        plan: of the run.

    Raises:
        InputError: if it cannot be written.
    """
    mark = {"plan": plan.identity, "similarity": True}
    if store.similarity.exists() and mark_of(store.similarity) == mark:
        return
    means = MeanMaps()
    for batch in _batches(store, plan):
        groups = _groups(batch)
        for row, shown in shown_maps(batch, plan.facts):
            means.add(groups[row], shown)
    typical = means.means()
    pa, pq = pyarrow_modules()
    schema = pa.schema(
        [("id", pa.int64()), ("row", pa.int32()), ("similarity", pa.float32())],
        metadata={b"camscope": json.dumps(mark).encode()},
    )
    try:
        with (
            written_aside(store.similarity) as aside,
            pq.ParquetWriter(aside, schema, compression="zstd") as file,
        ):
            for batch in _batches(store, plan):
                groups = _groups(batch)
                found: list[float | None] = [None] * batch.num_rows
                for row, shown in shown_maps(batch, plan.facts):
                    if groups[row] in typical:
                        value = likeness(shown, typical[groups[row]].map)
                        found[row] = None if np.isnan(value) else value
                file.write_table(
                    pa.table([batch["id"], batch["row"], pa.array(found, pa.float32())], schema=schema)
                )
    except OSError as error:
        raise InputError(
            f"{store.similarity} cannot be written: {error}. All shards are done; make room and run the same again."
        ) from error


def _batches(store: RunStore, plan: Plan) -> Iterator[Any]:
    """The rows of each shard, in order."""
    _, pq = pyarrow_modules()
    for shard in range(plan.shards):
        file: Path = store.shard(shard)
        with pq.ParquetFile(file) as table:
            yield table.read(_COLUMNS)


def _groups(batch: Any) -> list[Hashable]:
    """What mean map each row belongs to."""
    return list(zip(*(batch[name].to_pylist() for name in ("target", "method", "layer")), strict=True))
