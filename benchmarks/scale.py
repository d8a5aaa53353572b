"""What a run of a million, a hundred million and a billion images costs, computed from what was measured.

    python -m benchmarks.scale --measure     # an hour on two cores: the rows, into benchmarks/kept, and the page
    python -m benchmarks.scale               # the page, from the rows that are there

The part of `docs/scale.md` between the two marks is written anew; the prices are assumptions.
`tests/test_kept_numbers.py` holds that it is what the rows give.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cyclopts

from benchmarks.page_parts import put

ROOT = Path(__file__).parents[1]
KEPT = Path(__file__).with_name("kept")

ROWS = {
    "runs": ["benchmarks.runs", "--images", "444", "--rounds", "5"],
    "runs_one_thread": ["benchmarks.runs", "--images", "666", "--rounds", "5"],
    "run_pages": ["benchmarks.run_pages", "--rows", "1000000"],
    "run_parts": ["benchmarks.run_parts", "--images", "111"],
}
"""The rows the page is made of, each a file of its name: by which benchmark, and what it is told."""

ONE_THREAD = ("runs_one_thread", "run_parts")
"""Measured with one thread for PyTorch; the others with as many as it takes by itself."""

COUNTS = (10**6, 10**8, 10**9)
COPIES = ("camscope run", "camscope run, plain")
NAME = "measured: made by python -m benchmarks.kept_numbers"
"""Which makes this part too, without measuring."""


@dataclass(frozen=True)
class Prices:
    """What is assumed.

    Attributes:
        core_hour: dollars for an hour of a core.
        gigabyte_month: dollars for keeping a gigabyte for a month.
        cores: at work together.
        shard_size: images in a shard, for the largest runs.
    """

    core_hour: float = 0.04
    gigabyte_month: float = 0.023
    cores: int = 64
    shard_size: int = 8192


USUAL = Prices()


def page(rows: Mapping[str, Any], prices: Prices = USUAL) -> str:
    """The part of the page that was measured.

    Args:
        rows: of each benchmark, by its name.
        prices: what is assumed.
    """
    speed, on_one, store, parts = (rows[name] for name in ROWS)
    return "\n\n".join(
        [
            _costs(on_one, store, prices),
            _limits(store, prices),
            _loops(speed),
            _loops(on_one),
            _parts(parts),
            _asked(store),
        ]
    )


def read(folder: Path = KEPT) -> dict[str, Any]:
    """The rows that were kept.

    Args:
        folder: where they are.
    """
    return {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ROWS}


def main(*, measure: bool = False) -> None:
    """Put what was measured into the page.

    Args:
        measure: first measure it; the machine should have nothing else to do.
    """
    if measure:
        for name, told in ROWS.items():
            threads = {"OMP_NUM_THREADS": "1"} if name in ONE_THREAD else {}
            subprocess.run(
                [sys.executable, "-m", *told, "--json-file", KEPT / f"{name}.json"],
                env={**os.environ, **threads},
                check=True,
            )
    put(ROOT / "docs" / "scale.md", NAME, page(read()))


def _costs(speed: Any, store: Any, prices: Prices) -> str:
    rows = {row["name"]: row for row in speed["rows"]}
    kept = sum(store["bytes"][name] for name in ("shards", "index.parquet")) / store["rows"]
    lines = [
        f"| images | core hours | on {prices.cores} cores | at ${prices.core_hour}/core hour | store | "
        f"at ${prices.gigabyte_month}/GB month |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for name in COPIES:
        each = rows[name]["processor_ms"]
        lines.append(f"| **{name}**, {each:.0f} ms of processors an image | | | | | |")
        for count in COUNTS:
            hours = count * each / 3.6e6
            gigabytes = count * kept / 1e9
            lines.append(
                f"| {count:,} | {hours:,.0f} | {_time(hours / prices.cores)} | ${hours * prices.core_hour:,.0f} | "
                f"{gigabytes:,.1f} GB | ${gigabytes * prices.gigabyte_month:,.2f} |"
            )
    return "\n".join(lines)


def _limits(store: Any, prices: Prices) -> str:
    rows, wide = store["rows"], store["bytes"]
    opened = store["open_ms"][1] / 1000 / wide["shard_files"]
    lines = [
        f"| images | shards of 256 | opened in | shards of {prices.shard_size} | opened in | index | "
        "the index made in | pages of a listing |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count in COUNTS:
        files = [-(-count // size) for size in (256, prices.shard_size)]
        finished = _time(store["finish_s"] * count / rows / 3600)
        lines.append(
            f"| {count:,} | {files[0]:,} | {files[0] * opened:,.1f} s | {files[1]:,} | {files[1] * opened:,.1f} s | "
            f"{count * wide['index.parquet'] / rows / 1e9:,.1f} GB | {finished} | {count // 1000:,} |"
        )
    return "\n".join(lines)


def _loops(speed: Any) -> str:
    lines = [
        f"{speed['machine']}:",
        "",
        "| the same photos | images/s | × plain loop | ms of processors an image | × plain loop | aim |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in speed["rows"]:
        aim = "" if row["aim"] is None else f"≥ {row['aim']:g}"
        lines.append(
            f"| {row['name']} | {row['images_per_second']:.1f} | {row['ratio']:.2f} | {row['processor_ms']:.1f} | "
            f"{row['processor_ratio']:.2f} | {aim} |"
        )
    return "\n".join(lines)


def _parts(found: Any) -> str:
    lines = [f"| ms of a processor an image | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    for part in next(iter(found.values())):
        lines.append(f"| {part} | {' | '.join(f'{one[part]:.1f}' for one in found.values())} |")
    lines.append(f"| together | {' | '.join(f'{sum(one.values()):.1f}' for one in found.values())} |")
    return "\n".join(lines)


def _asked(store: Any) -> str:
    """What asking a store took; a page is a condition, an order and an offset."""
    walls, processors = ([one[place] for one in store["pages"]] for place in (4, 5))
    return (
        f"A store of {store['rows']:,} rows was opened in {store['open_ms'][1]:.0f} ms of processors; "
        f"{len(walls)} pages took {max(processors):.0f} ms of processors at most, {max(walls):.0f} ms on the clock; "
        f"the process held {store['peak_mib']} MiB at most."
    )


def _time(hours: float) -> str:
    if hours * 60 < 2:
        return f"{hours * 3600:,.0f} s"
    if hours < 2:
        return f"{hours * 60:,.0f} min"
    return f"{hours:,.0f} h" if hours < 72 else f"{hours / 24:,.0f} days"


if __name__ == "__main__":
    cyclopts.run(main)
