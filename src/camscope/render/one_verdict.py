"""The figure of one verdict: the map, the bars of how well it does beside others, and the points."""

from __future__ import annotations

import math
from collections.abc import Sequence

from camscope.render.fitting import width_of
from camscope.render.frame import MARGIN, Frame
from camscope.render.layout import Cell
from camscope.render.levels import CHANCE, CHOSEN, Level, Levels, draw_bars, limits_of
from camscope.render.page import PLAIN, Page
from camscope.render.panel import Panel
from camscope.render.parts import Bar, Shrunk, ticks_of
from camscope.render.signal_rows import SignalRow
from camscope.render.surface import INK, SOFT
from camscope.render.verdict_parts import Cloud, Mark, VerdictRow, VerdictStyle, draw_key

_CLOUDS: tuple[Mark, ...] = (
    ("o", CHOSEN, True),
    ("^", "#D55E00", False),
    ("s", "#009E73", False),
    ("v", "#CC79A7", True),
)
"""Of the kinds of points."""
_CEILING: Mark = ("s", CHOSEN, False)
_TALL = 1.75
"""The height of bars and points, in inches."""


def draw_one(
    row: VerdictRow, frame: Frame, style: VerdictStyle, level_label: str, x_label: str, y_label: str
) -> Page:
    """Draw a map at the left (a signal: on top), its bars, and its points at the right.

    Where there are no numbers, what is said of it stands in place of bars and points.

    Args:
        row: What to draw.
        frame: What stands around it.
        style: How everything is drawn.
        level_label: What the bars measure.
        x_label: What the points' x is.
        y_label: What the points' y is.
    """
    fonts, line, gap = style.fonts, style.line, 3 * style.fonts.gap
    tall = _TALL * fonts.scale
    picture, left, top = _placed(row.shown, frame, style)
    names = [_with_value(level) for level in _levels_of(row.levels)]
    aside = min(0.85 * fonts.scale, max(width_of(name, fonts.small, "bold") for name in names)) + fonts.gap
    scale = width_of("−0.00", fonts.small) + 2 * line
    free = frame.width - MARGIN - left - aside - scale - gap
    bars = Cell(left + aside, top, free * (0.46 if row.clouds else 1.0), tall)
    points = Cell(bars.left + bars.width + gap + scale, top, free - bars.width, tall)
    label = fonts.fit(x_label, points.width, fonts.small)
    below = 1 + len(label) + 1.2 * len(row.clouds) if row.clouds else 3
    page = frame.page(top + (tall + (1.4 + below) * line if row.levels.ends else _least(picture, top)))
    if row.shown is not None and picture is not None:
        style.picture(page, picture, row.shown, Shrunk())
        bar = _bar(picture, style)
        if isinstance(row.shown, SignalRow):
            _say_times(page, picture, row.shown, style)
        bar.draw(page, picture.left + picture.width + fonts.gap, picture.top, style.colours(row.shown))
    if not row.levels.ends:
        _say(page, Cell(left, top, frame.width - MARGIN - left, tall), row, style)
        return page
    _draw_bars(page, bars, row.levels, aside, style, level_label)
    if row.clouds:
        _draw_clouds(page, points, row.clouds, style, label, y_label)
    return page


def _placed(
    shown: Panel | SignalRow | None, frame: Frame, style: VerdictStyle
) -> tuple[Cell | None, float, float]:
    """Where the picture goes, and where the rest begins: at its right, or below a signal."""
    fonts, inside = style.fonts, frame.width - 2 * MARGIN
    top = frame.top
    if shown is None:
        return None, MARGIN, top
    if isinstance(shown, SignalRow):
        cell = Cell(MARGIN, top, inside, 0.9 * fonts.scale)
        cell = Cell(MARGIN, top, inside - fonts.gap - _bar(cell, style).width, cell.height)
        return cell, MARGIN, cell.bottom + 6 * fonts.gap
    across, down = shown.size
    height = min(_TALL * fonts.scale, 0.27 * inside * down / across)
    cell = Cell(MARGIN, top, height * across / down, height)
    return cell, cell.left + cell.width + 4 * fonts.gap + _bar(cell, style).width, top


def _bar(picture: Cell, style: VerdictStyle) -> Bar:
    """The bar of a picture's colours."""
    return Bar.of(
        max(picture.height, 3 * style.line), ticks_of(None, None, signed=False), "evidence", style.fonts
    )


def _say_times(page: Page, cell: Cell, shown: SignalRow, style: VerdictStyle) -> None:
    """The first and the last moment of a signal, and the unit of the two, under it."""
    below, small = cell.bottom + 0.03, style.fonts.small
    page.text([f"{shown.start:.6g}"], cell.left, below, small, ha="left", va="top", colour=SOFT)
    page.text([shown.unit], cell.centre, below, small, va="top", colour=SOFT)
    page.text([f"{shown.stop:.6g}"], cell.left + cell.width, below, small, ha="right", va="top", colour=SOFT)


def _least(picture: Cell | None, top: float) -> float:
    """The height of a figure without bars."""
    return max(0.6, 0.0 if picture is None else picture.bottom - top)


def _say(page: Page, cell: Cell, row: VerdictRow, style: VerdictStyle) -> None:
    """What is said of a map, in place of numbers."""
    fonts = style.fonts
    says = fonts.fit(row.says, cell.width, fonts.title, weight="bold")
    page.text(says, cell.left, cell.top, fonts.title, ha="left", va="top", weight="bold")
    why = fonts.fit(row.numbers, cell.width, fonts.small, lines=6)
    below = cell.top + len(says) * 1.5 * style.line
    page.text(why, cell.left, below, fonts.small, ha="left", va="top", colour=INK)


def _draw_bars(page: Page, cell: Cell, levels: Levels, aside: float, style: VerdictStyle, label: str) -> None:
    """The bars, their names at the left, and their numbers in the names."""
    fonts, line = style.fonts, style.line
    axes = style.plain_axes(page, cell)
    axes.set_label("bars")
    draw_bars(axes, levels)
    axes.set_xlim(*limits_of([levels]))
    axes.spines["left"].set_visible(False)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], **PLAIN)
    style.ticks(axes)
    lowest, highest = axes.get_ylim()
    for row, level in enumerate(_levels_of(levels)):
        middle = cell.bottom - cell.height * (-row - lowest) / (highest - lowest)
        weight = "normal" if row else "bold"
        words = fonts.fit(_with_value(level), aside - fonts.gap, fonts.small, weight=weight, lines=3)
        right = cell.left - fonts.gap
        page.text(words, right, middle, fonts.small, ha="right", va="center", weight=weight)
    page.text([label], cell.centre, cell.bottom + 1.35 * line, fonts.small, va="top", colour=INK)
    below = cell.bottom + 2.7 * line
    if math.isfinite(levels.ceiling):
        draw_key(
            page, cell.left - aside / 2, below, _CEILING, _with_value(Level("ceiling", levels.ceiling)), fonts
        )
        below += 1.2 * line
    if levels.chance.ends:
        draw_key(page, cell.left - aside / 2, below, ("s", CHANCE, True), "95 % of chance", fonts)


def _levels_of(levels: Levels) -> tuple[Level, ...]:
    """All that have a bar, from the top."""
    return (levels.chosen, *levels.others, levels.chance)


def _with_value(level: Level) -> str:
    """A name and its number."""
    return f"{level.name} {level.value:.2f}".replace("-", "−") if math.isfinite(level.value) else level.name


def _draw_clouds(
    page: Page, cell: Cell, clouds: Sequence[Cloud], style: VerdictStyle, x_label: Sequence[str], y_label: str
) -> None:
    """The points, and under the axis which mark is of which kind."""
    from matplotlib.ticker import MaxNLocator

    fonts, line = style.fonts, style.line
    axes = style.plain_axes(page, cell)
    axes.set_label("points")
    axes.axhline(0, color=CHANCE, linewidth=0.8, zorder=1)
    for cloud, (mark, colour, filled) in zip(clouds, _CLOUDS, strict=False):
        axes.plot(
            cloud.x,
            cloud.y,
            linestyle="none",
            marker=mark,
            markersize=3.4,
            markerfacecolor=colour if filled else "none",
            markeredgecolor=colour,
            markeredgewidth=0 if filled else 0.8,
            alpha=0.75,
            zorder=3,
        )
    axes.margins(0.06)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(lambda value, _: f"{value:.6g}".replace("-", "−"))
    style.ticks(axes)
    page.text(x_label, cell.centre, cell.bottom + 1.35 * line, fonts.small, va="top", colour=INK)
    beside = cell.left - width_of("−0.00", fonts.small) - 0.9 * line
    words = fonts.fit(y_label, cell.height, fonts.small)
    page.text(words, beside, cell.top + cell.height / 2, fonts.small, va="center", upright=True)
    for number, (cloud, key) in enumerate(zip(clouds, _CLOUDS, strict=False)):
        below = cell.bottom + (1.7 + len(x_label) + 1.2 * number) * line
        room = page.width - MARGIN - line - fonts.gap / 2 - width_of(cloud.name, fonts.small)
        draw_key(page, min(cell.left, room), below, key, cloud.name, fonts)
