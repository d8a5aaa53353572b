"""A bar on stderr that shows how far something is, where people look: in a terminal or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeAlias

Told: TypeAlias = Callable[[int, int | None], object]
"""Gets how much is done, and how much there is to do; None where that is not known."""


@contextmanager
def bar(words: str, *, shown: bool) -> Iterator[Told]:
    """Show a bar in this context; it is gone at the end.

    Args:
        words: what is being done.
        shown: whether there is a bar at all.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    can = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
    columns = (TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and can)) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def in_steps(told: Told, total: int | None) -> Callable[[int], None]:
    """What takes a bar so many steps further.

    Args:
        told: of the bar.
        total: how many steps there are; None if that is not known.
    """
    done = 0

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
        told(done, total)

    told(0, total)
    return advance
