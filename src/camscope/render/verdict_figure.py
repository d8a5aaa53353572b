"""What a verdict on a map rests on, as a figure for a paper: the map, how well it does beside others, and the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError
from camscope.render.colour import DEFAULT, resolve
from camscope.render.fitting import height_of, width_of
from camscope.render.frame import MARGIN, Frame
from camscope.render.layout import Cell
from camscope.render.levels import CHANCE, CHOSEN, COMPARED, MARKS, Level, Levels, draw_bars, draw_marks, limits_of
from camscope.render.page import PLAIN, Page, require_matplotlib
from camscope.render.panel import Panel
from camscope.render.parts import Bar, Fonts, Shrunk, draw_panel, ticks_of
from camscope.render.signal_rows import SignalRow, draw_lines, draw_strip
from camscope.render.surface import INK, SOFT
from camscope.render.word_rows import words_colormap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_WIDTH = 5.0
_Mark: TypeAlias = tuple[str, str, bool]
"""A mark of matplotlib's, its colour, and whether it is filled."""

_CLOUDS: tuple[_Mark, ...] = (
    ("o", CHOSEN, True),
    ("^", "#D55E00", False),
    ("s", "#009E73", False),
    ("v", "#CC79A7", True),
)
"""Of the kinds of points."""
_CEILING: _Mark = ("s", CHOSEN, False)


@dataclass(frozen=True)
class Cloud:
    """Points of one kind.

    Attributes:
        name: What they have in common, and what is to be said of it.
        x: Where they lie.
        y: Likewise.
    """

    name: str
    x: Float[np.ndarray, " point"]
    y: Float[np.ndarray, " point"]


@dataclass(frozen=True)
class VerdictRow:
    """One map, and what its verdict rests on.

    Attributes:
        shown: The map on its photo or on its signal; None where there is no picture.
        name: Of the map.
        about: What tells it apart from others of this name.
        says: The verdict in a few words.
        numbers: What stands under these.
        levels: How well it does, beside others.
        clouds: The points that this is measured on.
    """

    shown: Panel | SignalRow | None
    name: str
    about: str
    says: str
    numbers: str
    levels: Levels
    clouds: tuple[Cloud, ...] = ()


def verdict_figure(
    rows: Sequence[VerdictRow],
    *,
    title: str = "",
    caption: str = "",
    level_label: str = "fidelity",
    x_label: str = "",
    y_label: str = "",
    colormap: str = DEFAULT,
    opacity: float = 0.5,
    width: float = 7.0,
) -> Figure:
    """Draw one map with its bars and its points, or a row for each of several maps.

    Args:
        rows: One for each map.
        title: The title above everything.
        caption: Small text under everything.
        level_label: What the bars measure.
        x_label: What the points' x is.
        y_label: What the points' y is.
        colormap: Any name of the cmap catalogue.
        opacity: How much of a heatmap's colour covers its photo, 0 to 1.
        width: Of the figure, in inches.

    Returns:
        A matplotlib figure that belongs to no pyplot state.

    Raises:
        InputError: There is no row, or nothing would be legible.
        MissingExtraError: matplotlib or cmap is not installed.
    """
    require_matplotlib()
    if not rows:
        raise InputError("a figure of verdicts needs at least one map.")
    if not width >= _LEAST_WIDTH:
        raise InputError(f"width={width}: this figure can be {_LEAST_WIDTH:g} inches and wider.")
    fonts = Fonts.scaled((width / 7) ** 0.5)
    frame = Frame.of(title, caption, width, fonts)
    style = _Style(fonts, colormap, opacity)
    if len(rows) == 1:
        return _of_one(rows[0], frame, style, level_label, x_label, y_label).figure
    return _of_several(rows, frame, style, level_label).figure


@dataclass(frozen=True)
class _Style:
    """How everything is drawn: sizes of texts, colours of heatmaps."""

    fonts: Fonts
    colormap: str
    opacity: float

    @property
    def line(self) -> float:
        """The height of a line of small text, in inches."""
        return height_of(1, self.fonts.small)

    def colours(self, shown: Panel | SignalRow) -> str:
        """The colour map that a picture is drawn with."""
        signal = isinstance(shown, SignalRow)
        return words_colormap(self.colormap, False) if signal else resolve(self.colormap, False)

    def picture(self, page: Page, cell: Cell, shown: Panel | SignalRow, shrunk: Shrunk) -> None:
        """Draw a map on its photo or its signal, as large as the cell."""
        if isinstance(shown, Panel):
            options = {"colormap": self.colours(shown), "opacity": self.opacity}
            draw_panel(page, cell, shown, self.fonts, shrunk, **options)  # type: ignore[arg-type]
            return
        draw = draw_lines if shown.parts[0] == "lines" else draw_strip
        draw(page.axes(cell), shown, self.colours(shown))

    def plain_axes(self, page: Page, cell: Cell) -> Axes:
        """Axes with ticks at the left and the bottom only."""
        axes = page.axes(cell)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set(linewidth=0.6, color=INK)
        axes.set_axisbelow(True)
        return axes

    def ticks(self, axes: Axes) -> None:
        """Small ticks in the fonts of the figure."""
        axes.tick_params(
            length=2.5, width=0.6, pad=2, labelsize=self.fonts.small, labelcolor=INK, color=INK
        )


# ---------------------------------------------------------------------------------------- one map


def _of_one(
    row: VerdictRow, frame: Frame, style: _Style, level_label: str, x_label: str, y_label: str
) -> Page:
    """The map at the left (a signal: on top), the bars, and the points at the right."""
    fonts, line, gap = style.fonts, style.line, 3 * style.fonts.gap
    inside = frame.width - 2 * MARGIN
    signal = isinstance(row.shown, SignalRow)
    left, top, bottom = MARGIN, frame.top, frame.top
    tall = 1.75 * fonts.scale
    bar, cells = None, []
    if row.shown is not None:
        bar = Bar.of(min(tall, 0.9 if signal else tall), ticks_of(None, None, signed=False), "evidence", fonts)
    if signal:
        assert bar is not None
        height = 0.9 * fonts.scale
        cells = [Cell(left, top, inside - bar.width - fonts.gap, height)]
        top += height + 2 * gap
    elif isinstance(row.shown, Panel):
        assert bar is not None
        across, down = row.shown.size
        height = min(tall, 0.27 * inside * down / across)
        cells = [Cell(left, top, height * across / down, height)]
        bar = Bar.of(min(height, tall), bar.ticks, "evidence", fonts)
        left = cells[0].left + cells[0].width + fonts.gap + bar.width + gap
    names = [_with_value(level) for level in _levels_of(row.levels)]
    aside = min(0.85 * fonts.scale, max(width_of(name, fonts.small, "bold") for name in names)) + fonts.gap
    scale = width_of("−0.00", fonts.small) + 2 * line
    free = frame.width - MARGIN - left - aside - scale - gap
    bars = Cell(left + aside, top, free * (0.46 if row.clouds else 1.0), tall)
    points = Cell(bars.left + bars.width + gap + scale, top, free - bars.width, tall)
    label = fonts.fit(x_label, points.width, fonts.small)
    below = 1 + len(label) + 1.2 * len(row.clouds) if row.clouds else 3
    page = frame.page(top + tall + (1.4 + below) * line)
    if row.shown is not None and bar is not None:
        (cell,) = cells
        style.picture(page, cell, row.shown, Shrunk())
        bar.draw(page, cell.left + cell.width + fonts.gap, cell.top, style.colours(row.shown))
    _draw_bars(page, bars, row.levels, aside, style, level_label)
    if row.clouds:
        _draw_clouds(page, points, row.clouds, style, label, y_label)
    return page


def _draw_bars(page: Page, cell: Cell, levels: Levels, aside: float, style: _Style, label: str) -> None:
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
        words = fonts.fit(_with_value(level), aside - fonts.gap, fonts.small, weight=weight)
        right = cell.left - fonts.gap
        page.text(words, right, middle, fonts.small, ha="right", va="center", weight=weight)
    page.text([label], cell.centre, cell.bottom + 1.35 * line, fonts.small, va="top", colour=INK)
    below = cell.bottom + 2.7 * line
    if math.isfinite(levels.ceiling):
        _key(page, cell.left - aside / 2, below, _CEILING, _with_value(Level("ceiling", levels.ceiling)), fonts)
        below += 1.2 * line
    if levels.chance.ends:
        _key(page, cell.left - aside / 2, below, ("s", CHANCE, True), "95 % of chance", fonts)


def _levels_of(levels: Levels) -> tuple[Level, ...]:
    """All that have a bar, from the top."""
    return (levels.chosen, *levels.others, levels.chance)


def _with_value(level: Level) -> str:
    """A name and its number."""
    return f"{level.name} {level.value:.2f}".replace("-", "−") if math.isfinite(level.value) else level.name


def _draw_clouds(
    page: Page, cell: Cell, clouds: Sequence[Cloud], style: _Style, x_label: Sequence[str], y_label: str
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
        _key(page, cell.left, below, key, cloud.name, fonts)


def _key(page: Page, left: float, top: float, mark: _Mark, words: str, fonts: Fonts) -> None:
    """A mark and what it stands for."""
    from matplotlib.lines import Line2D

    size = height_of(1, fonts.small)
    shape, colour, filled = mark
    page.figure.add_artist(
        Line2D(
            [(left + size / 2) / page.width],
            [1 - (top + size / 2) / page.height],
            marker=shape,
            markersize=4.8 if shape != "|" else 8,
            linestyle="none",
            markerfacecolor=colour if filled else "none",
            markeredgecolor=colour,
            markeredgewidth=0.9,
        )
    )
    page.text([words], left + size + fonts.gap / 2, top, fonts.small, ha="left", va="top", colour=INK)


# ---------------------------------------------------------------------------------------- several maps


def _of_several(rows: Sequence[VerdictRow], frame: Frame, style: _Style, level_label: str) -> Page:
    """A row for each map: its picture, its name, its marks on one axis, and what is said of it."""
    fonts, line, gap = style.fonts, style.line, style.fonts.gap
    signals = any(isinstance(row.shown, SignalRow) for row in rows)
    pictures = [row.shown for row in rows if isinstance(row.shown, Panel)]
    high = 0.58 * fonts.scale
    picture = 1.5 * fonts.scale if signals else 0.0
    if pictures:
        picture = max(min(1.1 * fonts.scale, high * one.size[0] / one.size[1]) for one in pictures)
    inside = frame.width - 2 * MARGIN - picture - 4 * gap
    names, says = 0.24 * inside, 0.30 * inside
    chart_left = MARGIN + picture + gap + names + gap
    chart = inside - names - says
    pitch = high + 0.7 * gap
    body = len(rows) * pitch
    page = frame.page(frame.top + body + 4.2 * line)
    cell = Cell(chart_left, frame.top, chart, body)
    axes = style.plain_axes(page, cell)
    axes.set_label("marks")
    axes.axvline(0, color=INK, linewidth=0.6, zorder=1)
    axes.spines["left"].set_visible(False)
    shrunk = Shrunk()
    for number, row in enumerate(rows):
        top = frame.top + number * pitch
        if row.shown is not None:
            style.picture(page, _within(Cell(MARGIN, top, picture, high), row.shown), row.shown, shrunk)
        middle = top + high / 2
        left = MARGIN + picture + gap
        _two(page, left, middle, names, row.name, row.about, fonts)
        _two(page, cell.left + chart + 2 * gap, middle, says, row.says, row.numbers, fonts)
        draw_marks(axes, row.levels, -(number + 0.5 * high / pitch))
    axes.set(xlim=limits_of([row.levels for row in rows]), ylim=(-len(rows), 0))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"], **PLAIN)
    axes.grid(axis="x", color="#ececec", linewidth=0.6)
    style.ticks(axes)
    page.text([level_label], cell.centre, cell.bottom + 1.35 * line, fonts.small, va="top", colour=INK)
    _legend(page, cell.bottom + 2.75 * line, rows[0].levels, style)
    return page


def _within(cell: Cell, shown: Panel | SignalRow) -> Cell:
    """Where a picture goes in a cell: a photo keeps its shape, a signal fills it."""
    if isinstance(shown, SignalRow):
        return cell
    across, down = shown.size
    scale = min(cell.width / across, cell.height / down)
    width, height = across * scale, down * scale
    return Cell(
        cell.left + (cell.width - width) / 2, cell.top + (cell.height - height) / 2, width, height
    )


def _two(
    page: Page, left: float, middle: float, width: float, first: str, second: str, fonts: Fonts
) -> None:
    """A name and what is to be known of it below."""
    upper = fonts.fit(first, width, fonts.small, weight="bold")
    lower = fonts.fit(second, width, fonts.small, lines=max(1, 3 - len(upper)))
    height = height_of(len(upper) + len(lower), fonts.small)
    top = middle - height / 2
    page.text(upper, left, top, fonts.small, ha="left", va="top", weight="bold")
    page.text(
        lower, left, top + height_of(len(upper), fonts.small), fonts.small, ha="left", va="top", colour=SOFT
    )


def _legend(page: Page, top: float, levels: Levels, style: _Style) -> None:
    """What the marks of a row stand for, in one line under all rows."""
    fonts = style.fonts
    keys: list[tuple[_Mark, str]] = [
        (("o", CHOSEN, True), "the map, 95 %"),
        (("|", CHOSEN, True), "ceiling"),
        *(
            ((mark, COMPARED, True), other.name)
            for mark, other in zip(MARKS, levels.others, strict=False)
        ),
        (("s", CHANCE, True), "95 % of chance"),
    ]
    size = height_of(1, fonts.small)
    wide = [size + width_of(words, fonts.small) + 2.5 * fonts.gap for _, words in keys]
    left = max(MARGIN, (page.width - sum(wide)) / 2)
    for (mark, words), width in zip(keys, wide, strict=True):
        _key(page, left, top, mark, words, fonts)
        left += width
