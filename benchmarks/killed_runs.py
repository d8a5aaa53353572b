"""Runs that are killed at random times, again and again: is anything lost, or done twice?

    python -m benchmarks.killed_runs --kills 50 --images 2000
    python -m benchmarks.killed_runs --kills 50 --images 2000 --engine ray

The model writes down each image that it computes, so the count is that of the workers themselves. `--engine ray`
begins a cluster of three nodes on this machine, and before each fifth kill a worker is killed, before another a node.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from pyarrow import parquet
from tests.runs.counted import Counts, numbered_photos
from tests.runs.killable import Running

from camscope.runs.run_store import number_of

SIZE = 8


def finished(out: Path) -> set[int]:
    folder = out / "shards"
    found = [number_of(file.name) for file in folder.iterdir()] if folder.is_dir() else []
    return {number for number in found if number is not None}


def rows(out: Path) -> Any:
    table = parquet.read_table(out / "shards").sort_by([("id", "ascending"), ("row", "ascending")])
    return table.drop_columns(["target_about"]).to_pylist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument(
        "--slow", type=float, default=0.05, help="seconds that a pass of the model takes longer"
    )
    parser.add_argument("--longest", type=float, default=4.0, help="seconds after the first shard, at most")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        killed(Path(place), told)


def killed(place: Path, told: argparse.Namespace) -> None:
    photos = numbered_photos(place / "photos", told.images)
    counts, out = Counts(place / "counts", told.slow), place / "run"
    options: dict[str, Any] = {"model": counts.spec, "shard_size": SIZE}
    cluster: Any = None
    nodes: list[Any] = []
    if told.engine == "ray":
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
        options |= {"engine": "ray", "address": cluster.address, "actors": 3}
    chance = random.Random(told.seed)
    drivers, twice, met, begun = [], 0, {"driver": 0, "worker": 0, "node": 0}, time.monotonic()
    for kill in range(told.kills):
        running = Running(photos, out, **options)
        drivers.append(running.process.pid)
        if told.engine == "ray" and kill % 5 in (3, 4):
            hit = _hit_worker if kill % 5 == 3 else _hit_node
            met[hit.__name__.removeprefix("_hit_")] += hit(running, counts, drivers, cluster, nodes, chance)
        first = running.hears()
        while first == 0:
            first = running.hears()
        running.process.join(chance.uniform(0, told.longest))
        met["driver"] += running.process.is_alive()
        running.process.kill()
        running.end()
        before, then = finished(out), time.time_ns()
        time.sleep(0.2)
        print(
            f"kill {kill + 1}: {len(before)} shards are there, {time.monotonic() - begun:.0f} s", flush=True
        )
        if kill:
            twice += len(counts.after(last, known, SIZE))
        last, known = then, before
    end = Running(photos, out, **options)
    drivers.append(end.process.pid)
    print(end.heard()[-1])
    twice += len(counts.after(last, known, SIZE))
    whole = Running(photos, place / "whole", model=Counts(place / "other").spec, shard_size=SIZE)
    print(whole.heard()[-1])
    same = rows(out) == rows(place / "whole")
    print(f"{told.engine}: kills that met a run: {met}; rows as of an uninterrupted run: {same}")
    print(
        f"images of finished shards that were computed again: {twice}; passes: {len(counts.lines())} images"
    )
    if cluster is not None:
        cluster.shutdown()


def _hit_worker(running: Running, counts: Counts, drivers: list[Any], *_: Any) -> bool:
    """Kill the worker that computed last, with -9."""
    begun = time.time_ns()
    for _ in range(600):
        recent = [pid for at, pid, _ in counts.lines()[-50:] if at > begun and pid not in drivers]
        if recent:
            os.kill(recent[-1], signal.SIGKILL)
            return True
        time.sleep(0.1)
    return False


def _hit_node(
    running: Running,
    counts: Counts,
    drivers: list[Any],
    cluster: Any,
    nodes: list[Any],
    chance: random.Random,
) -> bool:
    """Take a node away, and give the cluster another."""
    running.hears()
    running.hears()
    cluster.remove_node(nodes.pop(chance.randrange(len(nodes))), allow_graceful=False)
    nodes.append(cluster.add_node(num_cpus=1))
    return True


if __name__ == "__main__":
    main()
