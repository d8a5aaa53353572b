"""A store of many rows with made-up maps, in the layout of a real run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from camscope.runs.map_numbers import NUMBERS
from camscope.runs.row_columns import schema
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore

SIDE = 7

TARGET = json.dumps({"index": 0, "name": "a class", "of": "logit", "sign": 1, "against": [], "box": None})


def write_many(like: Path, out: Path, count: int, shard_size: int = 256) -> Path:
    """Write it.

    Args:
        like: a real run, whose plan it has.
        out: its folder.
        count: of rows.
        shard_size: of each shard.
    """
    own = Plan.read(like)
    plan = dataclasses.replace(own, asked=dataclasses.replace(own.asked, shard_size=shard_size), count=count)
    store = RunStore(out)
    (out / "shards").mkdir(parents=True)
    plan.write(out)
    rng = np.random.default_rng(0)
    names = np.array(plan.class_names)
    for shard in range(plan.shards):
        ids = np.arange(shard * shard_size, min(count, (shard + 1) * shard_size))
        store.write_shard(shard, _table(ids, rng, names), plan)
    return out


def _table(ids: np.ndarray, rng: np.random.Generator, names: np.ndarray) -> pa.Table:
    n, cells = len(ids), SIDE * SIDE
    maps = rng.random((n, cells)).astype(np.float16)
    maps[:, 0] = (ids % 1000) / 1024
    maps[ids % 1000 == 0] = 0  # zero maps count in no mean
    best = rng.integers(0, len(names), n)
    reals = {name: pa.array(rng.random(n, np.float32)) for name in NUMBERS if name != "box"}
    five = pa.array(np.arange(0, 5 * n + 1, 5, dtype=np.int32))
    whole = {"input_size": [224, 224], "scale": [224 / 480, 224 / 640], "offset": [0.0, 0.0]}
    columns = {
        **reals,
        "geometry": pa.array([whole] * n, schema().field("geometry").type),
        "id": ids,
        "row": np.zeros(n, np.int32),
        "source": [f"/a-drive/photos/folder-{i % 97}/image-{i:09d}.jpg" for i in ids],
        "label": names[rng.integers(0, len(names), n)],
        "status": np.where(ids % 1000 == 0, "flat", "ok"),
        "height": np.full(n, 480, np.int32),
        "width": np.full(n, 640, np.int32),
        "top1": names[best],
        "top1_index": best.astype(np.int32),
        "top1_probability": rng.random(n, np.float32),
        "target": names[best],
        "target_about": [TARGET] * n,
        "target_number": np.zeros(n, np.int32),
        "target_index": best.astype(np.int32),
        "score": rng.random(n, np.float32),
        "method": np.full(n, "gradcam"),
        "layer": np.full(n, "layer4"),
        "top_classes": pa.ListArray.from_arrays(five, rng.integers(0, 5, 5 * n).astype(np.int32)),
        "top_logits": pa.ListArray.from_arrays(five, rng.random(5 * n, np.float32)),
        "kind": ["file"] * n,
        "file_digest": [f"{int(i):016x}" for i in rng.integers(0, 2**63, n)],
        "scale": np.ones(n, np.float32),
        "map_shape": pa.array([[SIDE, SIDE]] * n, pa.list_(pa.int32())),
        "map": pa.ListArray.from_arrays(
            pa.array(np.arange(0, n * cells + 1, cells, dtype=np.int32)), maps.ravel()
        ),
    }
    return pa.table({f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in schema()}).cast(schema())
