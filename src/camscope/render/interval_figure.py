"""Horizontal bars with intervals, a row for each thing that was measured: what stands in a paper beside a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from camscope.errors import InputError
from camscope.render.fitting import height_of, width_of
from camscope.render.frame import MARGIN, Frame
from camscope.render.layout import Cell
from camscope.render.page import PLAIN, require_matplotlib
from camscope.render.parts import Fonts
from camscope.render.surface import INK, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's blue, the same in a lighter tone, and a grey: told apart by people with any kind of colour blindness.
_STRONG, _USUAL, _QUIET = "#0072B2", "#8fbfdd", "#c9c9c9"
_GAP = 0.28
"""Between the panels, in inches."""


@dataclass(frozen=True)
class Bar:
    """What was measured, with the interval that holds it.

    Attributes:
        value: The number; NaN draws no bar.
        low: The lower end; not finite leaves the interval out.
        high: The upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BarRow:
    """One row.

    Attributes:
        name: What stands before it.
        bars: One for each panel; None leaves the place empty.
        stands_out: Whether it is the one that the figure is about.
        quiet: Whether it is only there to be compared with.
    """

    name: str
    bars: Sequence[Bar | None]
    stands_out: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class BarPanel:
    """One panel: a scale that a bar of every row lies on.

    Attributes:
        title: What is measured.
        line: Where a thin line is drawn, such as chance; None draws none.
        line_name: What it is.
    """

    title: str
    line: float | None = None
    line_name: str = ""


def interval_figure(
    panels: Sequence[BarPanel],
    rows: Sequence[BarRow],
    *,
    title: str = "",
    caption: str = "",
    width: float = 6.3,
) -> Figure:
    """Draw rows of horizontal bars, in panels side by side.

    Args:
        panels: What is measured.
        rows: From top to bottom, with a bar for each panel.
        title: The title above everything.
        caption: Small text under everything.
        width: Of the figure, in inches; the text of an A4 page is 6.3 wide.

    Returns:
        A matplotlib figure that belongs to no pyplot state.

    Raises:
        InputError: There is no panel or row, or a row has another number of bars than there are panels.
        MissingExtraError: matplotlib is not installed.
    """
    require_matplotlib()
    if not panels or not rows or any(len(row.bars) != len(panels) for row in rows):
        raise InputError(
            f"a figure of bars needs rows with a bar for each of its {len(panels)} panels; got {len(rows)} rows."
        )
    fonts = Fonts(1.0)
    line = height_of(1, fonts.small)
    frame = Frame.of(title, caption, width, fonts)
    widest = max(width_of(row.name, fonts.small, "bold" if row.stands_out else "normal") for row in rows)
    names = min(widest, 0.45 * width)
    left = MARGIN + names + fonts.gap
    top = frame.top + 1.3 * line
    height = len(rows) * 1.35 * line
    each = (width - MARGIN - left - _GAP * (len(panels) - 1)) / len(panels)
    page = frame.page(top + height + (2.6 if any(panel.line_name for panel in panels) else 1.4) * line)
    for number, panel in enumerate(panels):
        cell = Cell(left + number * (each + _GAP), top, each, height)
        axes = page.axes(cell)
        axes.set_label(panel.title)
        _draw(axes, panel, [row.bars[number] for row in rows], rows, fonts)
        heading = fonts.fit(panel.title, each + _GAP / 2, fonts.small, lines=1)
        page.text(heading, cell.centre, top - 0.25 * line, fonts.small, colour=INK)
        if panel.line is not None and panel.line_name:
            low, high = axes.get_xlim()
            at = cell.left + each * (panel.line - low) / (high - low)
            page.text([panel.line_name], at, cell.bottom + 1.25 * line, fonts.small, va="top", colour=SOFT)
    for number, row in enumerate(rows):
        middle = top + (number + 0.5) * 1.35 * line
        weight = "bold" if row.stands_out else "normal"
        name = fonts.fit(row.name, names + 0.01, fonts.small, weight=weight, lines=1)
        colour = SOFT if row.quiet else INK
        page.text(
            name, left - fonts.gap, middle, fonts.small, ha="right", va="center", colour=colour, weight=weight
        )
    return page.figure


def _draw(
    axes: Axes, panel: BarPanel, bars: Sequence[Bar | None], rows: Sequence[BarRow], fonts: Fonts
) -> None:
    shown = [bar for bar in bars if bar is not None and math.isfinite(bar.value)]
    ends = [end for bar in shown for end in (bar.value, bar.low, bar.high) if math.isfinite(end)]
    ends += [0.0, *([] if panel.line is None else [panel.line])]
    low, high = min(ends), max(ends)
    room = 0.04 * ((high - low) or 1.0)
    axes.set(xlim=(low - (room if low < 0 else 0), high + room), ylim=(len(rows), 0))
    for number, (bar, row) in enumerate(zip(bars, rows, strict=True)):
        if bar is None or not math.isfinite(bar.value):
            continue
        colour = _STRONG if row.stands_out else _QUIET if row.quiet else _USUAL
        axes.barh(number + 0.5, bar.value, height=0.62, color=colour, linewidth=0, zorder=2)
        if math.isfinite(bar.low) and math.isfinite(bar.high):
            axes.plot([bar.low, bar.high], [number + 0.5] * 2, color=INK, linewidth=1.0, zorder=3)
            for end in (bar.low, bar.high):
                axes.plot([end, end], [number + 0.34, number + 0.66], color=INK, linewidth=1.0, zorder=3)
    if panel.line is not None:
        axes.axvline(panel.line, color=SOFT, linewidth=0.8, linestyle=(0, (3, 2)), zorder=4)
    if low < 0:
        axes.axvline(0, color=INK, linewidth=0.5, zorder=1)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    ticks = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{tick:.4g}".replace("-", "−") for tick in ticks], **PLAIN)
    axes.tick_params(
        axis="x", length=2.5, width=0.4, pad=2, labelsize=fonts.small, labelcolor=INK, color=SOFT
    )
    axes.grid(axis="x", color="#e9e9e9", linewidth=0.5)
    axes.set_axisbelow(True)
