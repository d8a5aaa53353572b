"""Numbers with their intervals beside each other: as named bars, or as marks in a single row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from camscope.errors import InputError
from camscope.render.surface import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito's, which people with any kind of colour blindness can tell apart, in this order also in print without
# colours.
CHOSEN, COMPARED, CHANCE = "#0072B2", "#8a8a8a", "#dcdcdc"
"""The colours of what is asked about, of what it is compared with, and of the range that chance gives."""

MARKS = ("D", "X", "s", "P")
"""The marks of what something is compared with, in their order."""


@dataclass(frozen=True)
class Level:
    """A number with its interval.

    Attributes:
        name: What it is of.
        value: The number; NaN draws nothing.
        low: The lower end of its interval; NaN for none.
        high: The upper end.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def ends(self) -> list[float]:
        """All finite numbers of it."""
        return [end for end in (self.value, self.low, self.high) if math.isfinite(end)]


@dataclass(frozen=True)
class Levels:
    """What is asked about, and what it is to be seen beside.

    Attributes:
        chosen: What is asked about.
        others: What it is compared with.
        chance: The range that chance gives: its middle, and the ends.
        ceiling: The most that can be reached; NaN for none.
    """

    chosen: Level
    others: tuple[Level, ...]
    chance: Level
    ceiling: float

    def __post_init__(self) -> None:
        if len(self.others) > len(MARKS):
            raise InputError(f"{len(self.others)} are compared with; a figure has marks for {len(MARKS)}.")

    @property
    def ends(self) -> list[float]:
        """All finite numbers of it."""
        every = [self.chosen, *self.others, self.chance, Level("", self.ceiling)]
        return [end for level in every for end in level.ends]


def limits_of(every: Sequence[Levels]) -> tuple[float, float]:
    """Give the range of an axis from 0 to 1 that also holds what lies below."""
    lowest = min((end for levels in every for end in levels.ends), default=0.0)
    return (min(-0.04, lowest - 0.04), 1.0)


def draw_bars(axes: Axes, levels: Levels) -> None:
    """Draw a bar for each from the top: what is asked about with its ceiling, what it is compared with, chance.

    Args:
        axes: Where to draw; row i of the bars lies at height −i.
        levels: What to draw.
    """
    axes.axvline(0, color=INK, linewidth=0.6, zorder=1)
    if math.isfinite(levels.ceiling):
        hollow: dict[str, Any] = {"facecolor": "none", "edgecolor": CHOSEN, "linewidth": 0.8}
        axes.barh(0, levels.ceiling, 0.62, zorder=4, linestyle=(0, (3, 1.5)), **hollow)
    for row, level in enumerate((levels.chosen, *levels.others)):
        if math.isfinite(level.value):
            axes.barh(-row, level.value, 0.62, color=COMPARED if row else CHOSEN, zorder=3)
        _draw_whisker(axes, level, -row)
    row = -1 - len(levels.others)
    if levels.chance.ends:
        axes.barh(
            row, levels.chance.high - levels.chance.low, 0.62, levels.chance.low, color=CHANCE, zorder=2
        )
        axes.plot([levels.chance.value] * 2, [row - 0.31, row + 0.31], color=INK, linewidth=0.8, zorder=3)
    axes.set_ylim(row - 0.6, 0.6)


def draw_marks(axes: Axes, levels: Levels, row: float) -> None:
    """Draw all in one row: chance as a band, what is compared with as marks, a dot with its interval, the ceiling.

    Args:
        axes: Where to draw.
        levels: What to draw.
        row: The height of the row's middle.
    """
    if levels.chance.ends:
        axes.barh(
            row, levels.chance.high - levels.chance.low, 0.62, levels.chance.low, color=CHANCE, zorder=1
        )
    if math.isfinite(levels.ceiling):
        axes.plot([levels.ceiling] * 2, [row - 0.31, row + 0.31], color=CHOSEN, linewidth=1.2, zorder=2)
    edge: dict[str, Any] = {
        "linestyle": "none",
        "markersize": 5.5,
        "markeredgewidth": 0.7,
        "markeredgecolor": "white",
    }
    for mark, other in zip(MARKS, levels.others, strict=False):
        axes.plot([other.value], [row - 0.12], marker=mark, color=COMPARED, zorder=4, **edge)
    chosen = levels.chosen
    if chosen.ends:
        axes.plot([chosen.low, chosen.high], [row + 0.1] * 2, color=CHOSEN, linewidth=1.6, zorder=3)
        axes.plot([chosen.value], [row + 0.1], marker="o", color=CHOSEN, zorder=5, **edge)


def _draw_whisker(axes: Axes, level: Level, row: float) -> None:
    if not (math.isfinite(level.low) and math.isfinite(level.high)):
        return
    axes.plot([level.low, level.high], [row, row], color=INK, linewidth=0.9, zorder=4)
    for end in (level.low, level.high):
        axes.plot([end, end], [row - 0.14, row + 0.14], color=INK, linewidth=0.9, zorder=4)
