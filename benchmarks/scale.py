"""What a run of a million, a hundred million and a billion images costs, computed from what was measured.

    python -m benchmarks.runs --json-file runs.json
    python -m benchmarks.run_pages --json-file run_pages.json
    python -m benchmarks.run_parts --json-file parts.json
    python -m benchmarks.scale runs.json run_pages.json parts.json --write docs/scale.md

The tables of the page stand between two marks, and are written anew; the prices are assumptions, and options.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cyclopts

COUNTS = (10**6, 10**8, 10**9)
BEGIN, END = "<!-- computed -->", "<!-- end -->"


def main(
    runs: Path,
    pages: Path,
    parts: Path,
    *,
    core_hour: float = 0.04,
    gigabyte_month: float = 0.023,
    cores: int = 64,
    shard_size: int = 8192,
    write: Path | None = None,
) -> None:
    """Compute, and print the tables.

    Args:
        runs: rows of `benchmarks.runs`.
        pages: what `benchmarks.run_pages` found.
        parts: what `benchmarks.run_parts` found.
        core_hour: dollars for an hour of a core.
        gigabyte_month: dollars for keeping a gigabyte for a month.
        cores: at work together.
        shard_size: images in a shard, for the largest runs.
        write: the page that the tables are written into.
    """
    speed, store = json.loads(runs.read_text()), json.loads(pages.read_text())
    text = "\n".join(
        [
            _costs(speed, store, core_hour, gigabyte_month, cores),
            "",
            _limits(store, shard_size),
            "",
            _parts(json.loads(parts.read_text())),
            "",
            f"Measured on: {speed['machine']}. Of {store['rows']:,} rows: opened in {store['open_ms'][1]:.0f} ms of "
            f"processors, {store['peak_mib']} MiB at most.",
        ]
    )
    print(text)
    if write is not None:
        page = write.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def _costs(speed: Any, store: Any, core_hour: float, gigabyte_month: float, cores: int) -> str:
    rows = {row["name"]: row for row in speed["rows"]}
    kept = sum(store["bytes"][name] for name in ("shards", "index.parquet")) / store["rows"]
    lines = [
        f"| images | core hours | on {cores} cores | at ${core_hour}/core hour | store | at ${gigabyte_month}/GB month "
        "|",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for name in ("camscope run", "camscope run, plain"):
        each = rows[name]["processor_ms"]
        lines.append(f"| **{name}**, {each:.0f} ms of processors an image | | | | | |")
        for count in COUNTS:
            hours = count * each / 3.6e6
            gigabytes = count * kept / 1e9
            lines.append(
                f"| {count:,} | {hours:,.0f} | {_time(hours / cores)} | ${hours * core_hour:,.0f} | "
                f"{gigabytes:,.1f} GB | ${gigabytes * gigabyte_month:,.2f} |"
            )
    return "\n".join(lines)


def _limits(store: Any, shard_size: int) -> str:
    rows, wide = store["rows"], store["bytes"]
    opened = store["open_ms"][1] / 1000 / wide["shard_files"]
    lines = [
        f"| images | shards of 256 | opened in | shards of {shard_size} | opened in | index | pages of a listing |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count in COUNTS:
        files = [-(-count // size) for size in (256, shard_size)]
        lines.append(
            f"| {count:,} | {files[0]:,} | {files[0] * opened:,.1f} s | {files[1]:,} | {files[1] * opened:,.1f} s | "
            f"{count * wide['index.parquet'] / rows / 1e9:,.1f} GB | {count // 1000:,} |"
        )
    return "\n".join(lines)


def _parts(found: Any) -> str:
    lines = [f"| ms of a processor an image | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    for part in next(iter(found.values())):
        lines.append(f"| {part} | {' | '.join(f'{one[part]:.1f}' for one in found.values())} |")
    lines.append(f"| together | {' | '.join(f'{sum(one.values()):.1f}' for one in found.values())} |")
    return "\n".join(lines)


def _time(hours: float) -> str:
    return (
        f"{hours * 60:,.0f} min"
        if hours < 2
        else f"{hours:,.0f} h"
        if hours < 72
        else f"{hours / 24:,.0f} days"
    )


if __name__ == "__main__":
    cyclopts.run(main)
