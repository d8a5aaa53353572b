"""A progress bar on stderr, gone when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from camscope.cli.output import console


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar, which what is given takes so many steps further; none for one or two inputs.

    Args:
        total: how many inputs there are.
    """
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console(stderr=True), disable=total < 3, transient=True,
    ) as bar:  # fmt: skip
        running = bar.add_task("explaining", total=total)
        yield lambda steps: bar.update(running, advance=steps)
