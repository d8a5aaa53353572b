"""A run of a million rows: how long it takes to open it and to get a page, and the memory of that.

    python -m benchmarks.run_pages --rows 1000000 --json-file run_pages.json

Maps are made up, the layout is that of a real run. What is measured runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cyclopts

import camscope
from camscope.runs.finishing import finish
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore

PAGES = [
    (None, None), ("label != top1", "ring_share"), ("label != top1", "label"), ("label != top1", "similarity"),
    ("top1_probability < 0.5 AND ring_share > 0.6", "area"), ("label != top1", "source"),
]  # fmt: skip
"""Conditions, and what is sorted by."""

OFFSETS = (0, 50, 100, 5_000, 100_000)


def make(folder: Path, rows: int) -> Path:
    """Make the shards of the store.

    Args:
        folder: in which it is made.
        rows: how many it has.
    """
    import torch
    from tests.runs.conftest import write_photos
    from tests.runs.many_rows import write_many
    from torch import nn

    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    preprocessing = camscope.Preprocessing(input_size=(32, 32), resize=(32, 32), crop="squash")
    torch.manual_seed(0)
    names = ["ant", "bee", "cat, house cat", "dog", "eel"]
    explainer = camscope.Explainer(network.eval(), preprocessing=preprocessing, class_names=names)
    camscope.runs.run(
        write_photos(folder / "photos", 8), model=explainer, out=folder / "small", progress=False
    )
    return write_many(folder / "small", folder / "many", rows)


def measure(path: str) -> dict[str, object]:
    """Open a store and get pages; times are milliseconds on the wall and of processors.

    Args:
        path: of the store.
    """
    import duckdb  # noqa: F401 – that packages are imported is no part of it
    import pyarrow.parquet  # noqa: F401

    from camscope.runs.run_rows import open_run

    def took(do):
        wall, processors = time.perf_counter(), time.process_time()
        found = do()
        times = (1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - processors))
        return found, [round(one, 1) for one in times]

    rows, opened = took(lambda: open_run(path))
    pages = []
    for where, sort in PAGES:
        for offset in OFFSETS:
            page, times = took(lambda: rows.page(where, sort, descending=True, offset=offset, limit=50))  # noqa: B023
            pages.append([where, sort, offset, page.count, *times])
    return {"open_ms": opened, "pages": pages, "peak_mib": round(_peak_mib())}


def _peak_mib() -> float:
    """The most memory that this program held. What `getrusage` says counts the process that began it too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main(*, rows: int = 1_000_000, store: Path | None = None, json_file: Path | None = None) -> None:
    """Measure, and print what was found.

    Args:
        rows: of the store.
        store: one that is there already; made anew in a temporary folder if left out.
        json_file: also write it there.
    """
    from benchmarks.runs import machine  # with PyTorch, which what is measured is without

    with tempfile.TemporaryDirectory() as scratch:
        path = store or make(Path(scratch), rows)
        begun = time.process_time()
        finish(RunStore(path), Plan.read(path))
        finished = time.process_time() - begun
        code = "import sys, json; from benchmarks.run_pages import measure; print(json.dumps(measure(sys.argv[1])))"
        said = subprocess.run(
            [sys.executable, "-c", code, str(path)], check=True, stdout=subprocess.PIPE
        ).stdout
        sizes = {name: _bytes_in(path / name) for name in ("shards", "inputs", "index.parquet")}
        sizes["shard_files"] = len(list((path / "shards").iterdir()))
    found = {
        "machine": machine(),
        "rows": rows,
        "bytes": sizes,
        "finish_s": round(finished, 1),
        **json.loads(said),
    }
    print(f"the index was made in {finished:.0f} s of processors")
    print(f"opened in {found['open_ms'][0]:.0f} ms ({found['open_ms'][1]:.0f} of processors)")
    for where, sort, offset, count, wall, processors in found["pages"]:
        question = f"{where or 'all'}, by {sort or 'id'}, from {offset:,} of {count:,}"
        print(f"{question:76} {wall:7.0f} ms {processors:7.0f} ms of processors")
    print(f"{found['peak_mib']} MiB at most")
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=1) + "\n")


def _bytes_in(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    cyclopts.run(main)
