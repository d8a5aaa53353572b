"""A bar that shows how far a run is: images per second, time left, failures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from camscope.runs.shard_engine import Progress, Told


@contextmanager
def bar(wanted: bool | Told) -> Iterator[Told]:
    """What is told how far a run is, and shows it on stderr if that is a terminal.

    Args:
        wanted: whether it is shown; or a function of the user's that is told instead.
    """
    if callable(wanted):
        yield wanted
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(file=sys.stderr)
    columns = (TextColumn("explaining"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    shown = wanted and console.is_terminal
    with Bar(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not shown) as drawn:
        task = drawn.add_task("reading the list …", total=None)

        def told(progress: Progress) -> None:
            words = f"{progress.rate:.1f} images/s" if progress.rate else ""
            if progress.left is not None:
                words += f", {duration(progress.left)} left"
            if progress.workers:
                words += f", {progress.workers} workers"
            if progress.failed:
                words += f", {progress.failed} failed"
            if progress.stopped:
                words = "stopping after this shard (again: at once)"
            done = progress.done + progress.begun
            drawn.update(task, total=progress.total, completed=done, description=words)

        yield told


def duration(seconds: float) -> str:
    """A time for people: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
