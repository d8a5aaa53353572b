"""The figure of several verdicts: a row for each map, with the marks of all on one axis."""

from __future__ import annotations

from collections.abc import Sequence

from camscope.render.fitting import height_of, width_of
from camscope.render.frame import MARGIN, Frame
from camscope.render.layout import Cell
from camscope.render.levels import CHANCE, CHOSEN, COMPARED, MARKS, Levels, draw_marks, limits_of
from camscope.render.page import PLAIN, Page
from camscope.render.panel import Panel
from camscope.render.parts import Fonts, Shrunk
from camscope.render.signal_rows import SignalRow
from camscope.render.surface import INK, SOFT
from camscope.render.verdict_parts import Mark, VerdictRow, VerdictStyle, draw_key


def draw_several(rows: Sequence[VerdictRow], frame: Frame, style: VerdictStyle, level_label: str) -> Page:
    """Draw a row for each map: its picture, its name, its marks on one axis, and what is said of it.

    Args:
        rows: What to draw.
        frame: What stands around them.
        style: How everything is drawn.
        level_label: What the axis measures.
    """
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
    return Cell(cell.left + (cell.width - width) / 2, cell.top + (cell.height - height) / 2, width, height)


def _two(page: Page, left: float, middle: float, width: float, first: str, second: str, fonts: Fonts) -> None:
    """A name and what is to be known of it below."""
    upper = fonts.fit(first, width, fonts.small, weight="bold")
    lower = fonts.fit(second, width, fonts.small, lines=max(1, 4 - len(upper)))
    height = height_of(len(upper) + len(lower), fonts.small)
    top = middle - height / 2
    page.text(upper, left, top, fonts.small, ha="left", va="top", weight="bold")
    page.text(
        lower, left, top + height_of(len(upper), fonts.small), fonts.small, ha="left", va="top", colour=SOFT
    )


def _legend(page: Page, top: float, levels: Levels, style: VerdictStyle) -> None:
    """What the marks of a row stand for, in one line under all rows."""
    fonts = style.fonts
    keys: list[tuple[Mark, str]] = [
        (("o", CHOSEN, True), "the map, 95 %"),
        (("|", CHOSEN, True), "ceiling"),
        *(((mark, COMPARED, True), other.name) for mark, other in zip(MARKS, levels.others, strict=False)),
        (("s", CHANCE, True), "95 % of chance"),
    ]
    size = height_of(1, fonts.small)
    wide = [size + width_of(words, fonts.small) + 2.5 * fonts.gap for _, words in keys]
    left = max(MARGIN, (page.width - sum(wide)) / 2)
    for (mark, words), width in zip(keys, wide, strict=True):
        draw_key(page, left, top, mark, words, fonts)
        left += width
