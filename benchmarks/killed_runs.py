"""Runs that are killed at random times, again and again: is anything lost, or done twice?

    python -m benchmarks.killed_runs --kills 50 --images 2000
    python -m benchmarks.killed_runs --kills 50 --images 2000 --engine ray

The model writes down each image that it computes, so the count is that of the workers themselves. `--engine ray`
begins a cluster of three nodes on this machine, and kills three workers and a node for each driver.
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

BUSY = {
    "RAY_health_check_timeout_ms": "120000",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_memory_monitor_refresh_ms": "0",
}
"""A node that only gets no processor on a busy machine is not taken for dead, and what others have in memory ends no
worker; a node that was killed is missed, since its port is closed."""


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
        os.environ |= BUSY | {"RAY_USAGE_STATS_ENABLED": "0"}
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
        options |= {"engine": "ray", "address": cluster.address, "actors": 3}
    chance = random.Random(told.seed)
    kinds = ("worker", "node", "worker", "worker", "driver") if told.engine == "ray" else ("driver",)
    met = dict.fromkeys(kinds, 0)
    dead, twice, last, known = set[int](), 0, 0, set[int]()
    running: Running | None = None
    begun = time.monotonic()
    for kill in range(told.kills):
        if running is None:
            running = Running(photos, out, **options)
            dead.add(running.process.pid or 0)  # a driver explains a batch for the plan
        heard = running.hears()
        while heard == 0:
            heard = running.hears()
        if isinstance(heard, str):
            raise SystemExit(heard)
        kind = kinds[kill % len(kinds)]
        time.sleep(chance.uniform(0, told.longest))
        if kind == "driver" or not isinstance(heard, int):
            met[kind] += running.process.is_alive()
            running.process.kill()
            running.end()
            running = None
        elif kind == "worker":
            recent: list[int] = []
            while not recent:
                recent = [pid for _, pid, _ in counts.lines()[-100:] if pid not in dead and _lives(pid)]
            dead.add(recent[-1])
            os.kill(recent[-1], signal.SIGKILL)
            met[kind] += 1
        else:
            cluster.remove_node(nodes.pop(chance.randrange(len(nodes))), allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=1))
            met[kind] += 1
        twice += len(counts.after(last, known, SIZE))
        known, last = finished(out), time.time_ns()
        print(f"kill {kill + 1}: {len(known)} shards are there, {time.monotonic() - begun:.0f} s", flush=True)
    if running is not None:
        running.process.kill()
        running.end()
    end = Running(photos, out, **options)
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


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


if __name__ == "__main__":
    main()
