"""What work costs as a multiple of a bare run beside it: on the clock and in processor time, with the noise beside it.

It needs no framework, so that it measures where there is no PyTorch too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

from rich.console import Console
from rich.table import Table

Work = Callable[[], object]

_AT_REST = 0.15
"""Seconds between two runs, in which the threads of the one before stop waiting for more (NumPy's wait for a tenth)."""


@dataclass(frozen=True)
class Price:
    """What one work costs.

    Attributes:
        seconds: on the clock, the median.
        clock: the ratio to the bare run beside it on the clock: the quartiles, the median in the middle.
        processor: the same in processor time, of all threads of this process.
    """

    seconds: float
    clock: tuple[float, float, float]
    processor: tuple[float, float, float]


def prices(bare: Work, works: Mapping[str, Work], rounds: int) -> dict[str, Price]:
    """Time every work beside the bare run, in turns.

    In each round every work has a bare run beside it, before it in one round and after it in the next, so that a
    machine that is slow for a while slows both and that neither gains by its place. The bare run stands among the
    works as well: what it costs beside itself is the noise of this machine. Two runs of each before warm up.

    Args:
        bare: what counts as 1.
        works: what is timed.
        rounds: that count.
    """
    every = {"the bare run itself": bare, **works}
    for work in (*every.values(), *every.values()):
        work()
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in every}
    for round_ in range(rounds):
        for name, work in every.items():
            if round_ % 2:
                ours, beside = _timed(work), _timed(bare)
            else:
                beside, ours = _timed(bare), _timed(work)
            found[name].append((ours[0], ours[0] / beside[0], ours[1] / beside[1]))
    return {
        name: Price(median(seconds), _quartiles(clock), _quartiles(processor))
        for name, (seconds, clock, processor) in (
            (name, zip(*each, strict=True)) for name, each in found.items()
        )
    }


def show(found: Mapping[str, Price], console: Console, aims: Mapping[str, str] | None = None) -> None:
    """Print a table of prices.

    Args:
        found: them, by the name of the work.
        console: where.
        aims: what is aimed at, or another word of a work.
    """
    table = Table("", "ms", "× on the clock", "× processor time", "")
    for name, price in found.items():
        ratios = (
            f"{middle:.2f}  ({low:.2f}–{high:.2f})" for low, middle, high in (price.clock, price.processor)
        )
        table.add_row(name, f"{price.seconds * 1e3:.0f}", *ratios, (aims or {}).get(name, ""))
    console.print(table)
    console.print("Medians of the ratios to a bare run beside each, and their quartiles.")


def _timed(work: Work) -> tuple[float, float]:
    time.sleep(_AT_REST)
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def _quartiles(values: tuple[float, ...]) -> tuple[float, float, float]:
    low, middle, high = quantiles(values, n=4)
    return low, middle, high
