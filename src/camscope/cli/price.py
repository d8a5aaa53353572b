"""What a run costs: said before it takes long, and shown as a bar while it lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from camscope.cli.output import console
from camscope.trust import RunCost

_LONG = 10.0
"""Seconds from which on a run is long."""


class Price:
    """Counts what the model has answered, over all photos: altered inputs, and inputs that are explained again.

    Args:
        progress: the bar.
        count: how many photos there are.
        noun: what one of them is called.
    """

    def __init__(self, progress: Progress, count: int, noun: str) -> None:
        self._progress, self._left, self._noun = progress, count, noun
        self._bar = progress.add_task("asking the model", total=None)
        self._before = self._total = 0
        self._said = False
        self._cost = RunCost({})
        self._began = time.monotonic()
        self._explaining = 0.0

    def begin(self) -> None:
        """Take note that one photo is begun: it is explained first."""
        self._began = time.monotonic()

    def costs(self, cost: RunCost) -> None:
        """Take note of what one photo costs, once it is explained."""
        self._cost = cost
        now = time.monotonic()
        self._began, self._explaining = now, now - self._began
        if not cost.altered:
            self._say(self._explaining * cost.again * self._left)

    def told(self, done: int, total: int) -> None:
        """Take note of how far one photo is; see `camscope.engine.trusting.Progress`.

        Args:
            done: how many inputs are answered.
            total: of how many.
        """
        self._total = total
        expected = self._before + total * self._left
        self._progress.update(self._bar, completed=self._before + done, total=expected)
        if done and self._cost.altered:
            each = (time.monotonic() - self._began) / done
            one = each * self._cost.altered + self._explaining * self._cost.again
            self._say(one * self._left - each * done)

    def _say(self, seconds: float) -> None:
        """Say once what the run costs, if it is long."""
        if self._said:
            return
        self._said = True
        if seconds > _LONG:
            each = f", for each of {self._left} {self._noun}s" if self._left > 1 else ""
            self._progress.console.print(
                f"{self._cost}{each}: about {_in_words(seconds)}.", markup=False, soft_wrap=True
            )

    def next(self) -> None:
        """Go on to the next photo."""
        self._before += self._total
        self._left -= 1

    def skip(self) -> None:
        """Leave a photo out."""
        self._left -= 1

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away in this context, so that something else can be printed."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()


@contextmanager
def telling_price(count: int, noun: str) -> Iterator[Price]:
    """Show a bar on stderr, in a terminal, and say first what a long run costs.

    Args:
        count: how many photos there are.
        noun: what one of them is called.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    people = console(stderr=True)
    with Progress(*columns, console=people, transient=True, disable=not people.is_terminal) as progress:
        yield Price(progress, count, noun)


def _in_words(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
