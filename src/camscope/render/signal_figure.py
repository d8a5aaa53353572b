"""Signals as a figure for a paper: each on the colours of its evidence along time, with one colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from camscope.errors import InputError
from camscope.render.colour import DEFAULT
from camscope.render.fitting import fit, height_of, width_of
from camscope.render.frame import MARGIN, Frame
from camscope.render.layout import Cell
from camscope.render.page import PLAIN, Page, require_matplotlib
from camscope.render.parts import Bar, Fonts, ticks_of
from camscope.render.row_heading import RowHeading
from camscope.render.signal_rows import SignalRow, draw_lines, draw_strip
from camscope.render.surface import INK, SOFT
from camscope.render.word_rows import words_colormap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ONE_LINE = 0.72
_MORE_LINES = 0.34
_STRIP = 0.85
_TICK = 0.03
"""Heights in inches of a row with one channel, of one of several channels, of a spectrogram, and a tick's length."""


def signal_figure(
    rows: Sequence[SignalRow],
    *,
    title: str = "",
    caption: str = "",
    colormap: str = DEFAULT,
    signed: bool = False,
    colorbar_label: str = "evidence (relative)",
    width: float = 6.3,
    height: float = 1.0,
    low: str | None = None,
    high: str | None = None,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
) -> Figure:
    """Draw rows of signals as one figure, exactly as high as its content.

    The lines stand on a ground that is pale where there is no evidence; a spectrogram is ink on the same ground.

    Args:
        rows: One row for each map; their times may differ.
        title: The title above everything.
        caption: Small text under everything.
        colormap: Any name of the cmap catalogue; the default is pale at zero.
        signed: Whether 0.5 stands for zero in the heatmaps.
        colorbar_label: What the colours mean.
        width: Of the figure, in inches.
        height: Of lines and spectrograms, as a multiple of what is usual.
        low: The text at the bottom of the colour bar; None: "0", or "−1" if signed.
        high: The text at the top of the colour bar; None: "1".
        ax: Axes of your own to draw on, one for each row: it gets the lines, or the spectrogram if there are none,
            and the title, but no caption or colour bar.

    Raises:
        InputError: There are no rows, the number of axes is wrong, or there is no room.
        MissingExtraError: matplotlib or cmap is not installed.
    """
    require_matplotlib()
    if not rows:
        raise InputError("a figure of signals needs at least one row.")
    if not width >= 2 or not 0.3 <= height <= 10:
        raise InputError(
            f"width must be at least 2 inches and height from 0.3 to 10 times the usual; got {width} and {height}."
        )
    chosen = words_colormap(colormap, signed)
    if ax is not None:
        return _drawn_on(ax, rows, chosen)
    fonts = Fonts.scaled((width / 6.3) ** 0.5)
    gap = fonts.gap
    ticks = ticks_of(low, high, signed=signed)
    left = MARGIN + max(_beside(row, fonts) for row in rows)
    aside = Bar.of(_ONE_LINE, ticks, colorbar_label, fonts).width + 1.5 * gap
    inside = width - left - MARGIN - aside
    plans = [
        _Plan.of(row, below is None or _times(below) != _times(row), inside, height, fonts)
        for row, below in zip(rows, [*rows[1:], None], strict=True)
    ]
    frame = Frame.of(title, caption, width, fonts)
    body = max(sum(plan.height for plan in plans) + 1.2 * gap * (len(rows) - 1), _ONE_LINE)
    page = frame.page(frame.top + body)
    top = frame.top
    for plan in plans:
        plan.draw(page, left, top, chosen)
        top += plan.height + 1.2 * gap
    bar = Bar.of(min(body, 2.2), ticks, colorbar_label, fonts)
    bar.draw(page, width - MARGIN - aside + 1.5 * gap, frame.top + (body - bar.height) / 2, chosen)
    return page.figure


def signal_picture(
    row: SignalRow, *, colormap: str = DEFAULT, signed: bool = False, width: int = 1200, height: int = 0
) -> Image.Image:
    """Draw one signal as a picture without any text.

    Args:
        row: The signal.
        colormap: Any name of the cmap catalogue; the default is pale at zero.
        signed: Whether 0.5 stands for zero in the heatmap.
        width: Of the picture, in pixels.
        height: Likewise; 0 takes what is usual for what is drawn.

    Raises:
        InputError: There is no room.
        MissingExtraError: matplotlib or cmap is not installed.
    """
    require_matplotlib()
    dpi, chosen = 200, words_colormap(colormap, signed)
    shares = [_height_of(part, row) for part in row.parts]
    inches = height / dpi if height else sum(shares) * 1.5
    if not width >= 20 or not inches * dpi >= 20:
        raise InputError(
            f"A picture of a signal has at least 20 pixels along each side; got {width} × {height}."
        )
    page = Page(width / dpi, inches)
    top = 0.0
    for part, share in zip(row.parts, shares, strict=True):
        cell = Cell(0, top, width / dpi, inches * share / sum(shares))
        _draw_part(page.axes(cell), part, row, chosen)
        top = cell.bottom
    file = BytesIO()
    page.figure.savefig(file, format="png", dpi=dpi)
    return Image.open(file).convert("RGB")


@dataclass(frozen=True)
class _Plan:
    """One row of the figure: what stands above it, its parts, and whether it has an axis of time.

    Attributes:
        row: What is drawn.
        heading: The texts above it.
        heights: Of its parts, in inches.
        marks: The times with a tick and what is written there; none if the next row has the same.
        label: What the times are.
        width: Of the parts, in inches.
        fonts: The sizes of the texts.
    """

    row: SignalRow
    heading: RowHeading
    heights: list[float]
    marks: list[tuple[float, str]]
    label: str
    width: float
    fonts: Fonts

    @classmethod
    def of(cls, row: SignalRow, last: bool, width: float, height: float, fonts: Fonts) -> _Plan:
        """Plan a row.

        Args:
            row: What is drawn.
            last: Whether its times stand under it.
            width: Of its parts, in inches.
            height: Of its parts, as a multiple of what is usual.
            fonts: The sizes of the texts.
        """
        heights = [height * fonts.scale * _height_of(part, row) for part in row.parts]
        label = "time (s)" if row.unit == "s" else row.unit
        marks = _marks(row.start, row.stop) if last else []
        return cls(row, RowHeading.of(row, width, fonts), heights, marks, label, width, fonts)

    @property
    def height(self) -> float:
        """Height in inches, with the texts above and below."""
        below = _TICK + 2 * height_of(1, self.fonts.small) if self.marks else 0.0
        return self.heading.height + sum(self.heights) + _TICK * (len(self.heights) - 1) + below

    def draw(self, page: Page, left: float, top: float, colormap: str) -> None:
        """Draw the row.

        Args:
            page: Where to draw.
            left: The left edge of its parts, in inches from the page's.
            top: Its upper edge, in inches from the page's.
            colormap: Any name of the cmap catalogue.
        """
        row, small = self.row, self.fonts.small
        self.heading.draw(page, left, top)
        top += self.heading.height
        for part, height in zip(row.parts, self.heights, strict=True):
            cell = Cell(left, top, self.width, height)
            axes = page.axes(cell)
            _draw_part(axes, part, row, colormap)
            for share, word in _words_beside(part, row):
                middle = top + height * (1 - share)
                va: Literal["top", "center", "bottom"] = "center"
                if share in (0, 1):
                    va = "top" if share else "bottom"
                page.text([word], left - _TICK, middle, small, ha="right", va=va, colour=SOFT)
            top += height + _TICK
        if not self.marks:
            return
        axes.tick_params(bottom=True, labelbottom=False, length=2, width=0.5)
        axes.set_xticks([time for time, _ in self.marks])
        for time, word in self.marks:
            across = left + (time - row.start) / (row.stop - row.start) * self.width
            page.text([word], across, top, small, va="top", colour=SOFT)
        below = top + height_of(1, small)
        page.text([self.label], left + self.width / 2, below, small, va="top", colour=SOFT)


def _draw_part(axes: Axes, part: str, row: SignalRow, colormap: str) -> None:
    if part == "lines":
        draw_lines(axes, row, colormap)
    else:
        draw_strip(axes, row, colormap)


def _height_of(part: str, row: SignalRow) -> float:
    """The usual height of lines or a spectrogram, in inches."""
    if part == "strip":
        return _STRIP if row.heatmap.ndim == 1 else 1.6 * _STRIP
    return max(_ONE_LINE, _MORE_LINES * len(row.lines))


def _words_beside(part: str, row: SignalRow) -> list[tuple[float, str]]:
    """What stands at the left of lines or a spectrogram, and at which share of its height."""
    if part == "strip":
        assert row.strip is not None
        return [(1.0, f"{row.strip.high:g}"), (0.5, row.strip.unit), (0.0, f"{row.strip.low:g}")]
    return [(1 - (number + 0.5) / len(row.lines), name) for number, name in enumerate(row.names)]


def _beside(row: SignalRow, fonts: Fonts) -> float:
    """The room at the left of a row, in inches."""
    words = [word for part in row.parts for _, word in _words_beside(part, row)]
    return max((width_of(word, fonts.small) for word in words), default=0.0) + (2 * _TICK if words else 0.0)


def _times(row: SignalRow) -> tuple[float, float, str]:
    return row.start, row.stop, row.unit


def _marks(start: float, stop: float) -> list[tuple[float, str]]:
    """Round times between two, and how they are written."""
    from matplotlib.ticker import MaxNLocator

    span = stop - start
    times = [float(t) for t in MaxNLocator(nbins=7, steps=[1, 2, 5, 10]).tick_values(start, stop)]
    return [(t, f"{t:.6g}") for t in times if start - 1e-9 * span <= t <= stop + 1e-9 * span]


def _drawn_on(ax: Axes | Sequence[Axes] | np.ndarray, rows: Sequence[SignalRow], colormap: str) -> Figure:
    """Draw on axes of the user's own, which keep their ticks of time."""
    every: list[Axes] = list(np.asarray(ax, dtype=object).flat)
    if len(every) != len(rows):
        raise InputError(
            f"ax= has {len(every)} axes; this figure has {len(rows)} rows. Give as many: fig, axes = plt.subplots(N)."
        )
    for axes, row in zip(every, rows, strict=True):
        _draw_part(axes, row.parts[0], row, colormap)
        extent = axes.get_window_extent()
        inches = extent.width / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
        fonts = Fonts.scaled((inches / 6.3) ** 0.5)
        words = [*fit(row.title, inches, fonts.title), *fit(row.subtitle, inches, fonts.small)]
        axes.set_title(
            "\n".join([*words, *fit(row.note, inches, fonts.small)]), fontsize=fonts.title, **PLAIN
        )
        axes.set_xticks([time for time, _ in _marks(row.start, row.stop)])
        axes.set_xlabel("time (s)" if row.unit == "s" else row.unit, fontsize=fonts.small, color=INK, **PLAIN)
        axes.tick_params(labelsize=fonts.small)
    figure = every[0].get_figure(root=True)
    assert figure is not None
    return figure
