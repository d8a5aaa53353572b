"""The parts of a figure: font sizes, headings, pictures, the colour bar. Each knows its size and draws itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from camscope.render.colour import lut
from camscope.render.fitting import fit, height_of, width_of
from camscope.render.layout import Cell, Grid
from camscope.render.overlay import check_size, overlay
from camscope.render.page import PLAIN, SOFT, Page
from camscope.render.panel import Panel
from camscope.render.rgb import as_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Photos are shrunk to what 300 dots per inch can print, so that sixty 12-megapixel panels take little memory.
_PRINT_DPI = 300


@dataclass(frozen=True)
class Fonts:
    """Font sizes in points, and the gap that goes with them.

    Attributes:
        scale: The factor to the usual sizes.
    """

    scale: float

    @classmethod
    def scaled(cls, factor: float) -> Fonts:
        """Give the fonts for content that is larger by a factor, within what stays legible."""
        return cls(min(1.5, max(0.75, factor)))

    @property
    def gap(self) -> float:
        """The usual gap between the parts of a figure, in inches."""
        return 0.09 * self.scale

    @property
    def heading(self) -> float:
        """The figure's title."""
        return 11 * self.scale

    @property
    def label(self) -> float:
        """Row and column labels."""
        return 9.5 * self.scale

    @property
    def title(self) -> float:
        """The name over a panel."""
        return 9 * self.scale

    @property
    def small(self) -> float:
        """Subtitles, notes, ticks and the caption."""
        return 8 * self.scale


@dataclass(frozen=True)
class Heading:
    """Titles and subtitles above one row of photos, with all titles level.

    Attributes:
        titles: The lines of each photo's title.
        subtitles: The lines of each photo's subtitle.
        fonts: Their sizes.
    """

    titles: list[list[str]]
    subtitles: list[list[str]]
    fonts: Fonts

    @classmethod
    def of(cls, row: Sequence[Panel], grid: Grid, fonts: Fonts) -> Heading:
        """Fit the titles of a row of panels to the columns of a grid.

        Args:
            row: The panels.
            grid: The grid they stand in, with a column for each.
            fonts: The sizes of the texts.
        """
        pairs = list(zip(row, grid.widths, strict=False))
        return cls(
            [fit(panel.title, width, fonts.title) for panel, width in pairs],
            [fit(panel.subtitle, width, fonts.small) for panel, width in pairs],
            fonts,
        )

    @property
    def _pad(self) -> float:
        return 0.03 * self.fonts.scale

    @property
    def _below_titles(self) -> float:
        return text_height(self.subtitles, self.fonts.small)

    @property
    def height(self) -> float:
        """Height in inches; 0 if there is no text."""
        texts = text_height(self.titles, self.fonts.title) + self._below_titles
        return texts + self._pad if texts else 0.0

    def draw(self, page: Page, grid: Grid, left: float, bottom: float) -> None:
        """Write the titles above the photos.

        Args:
            page: Where to write.
            grid: The grid that the photos stand in.
            left: The grid's left edge, in inches from the page's.
            bottom: The photos' upper edge, in inches from the page's.
        """
        bottom -= self._pad
        for column, (title, subtitle) in enumerate(zip(self.titles, self.subtitles, strict=True)):
            centre = left + grid.centre(column)
            page.text(title, centre, bottom - self._below_titles, self.fonts.title)
            page.text(subtitle, centre, bottom, self.fonts.small, colour=SOFT)


@dataclass(frozen=True)
class Bar:
    """The colour bar with its ticks and its label.

    Attributes:
        height: Of the bar, in inches.
        ticks: The texts at its bottom, middle and top.
        label: The lines along it.
        fonts: The sizes of the texts.
    """

    height: float
    ticks: tuple[str, str, str]
    label: list[str]
    fonts: Fonts

    @classmethod
    def of(cls, height: float, ticks: tuple[str, str, str], label: str, fonts: Fonts) -> Bar:
        """Fit the label to the bar's height.

        Args:
            height: Of the bar, in inches.
            ticks: The texts at its bottom, middle and top.
            label: What the colours mean.
            fonts: The sizes of the texts.
        """
        return cls(height, ticks, fit(label, height, fonts.small), fonts)

    @property
    def _slim(self) -> float:
        return 0.1 * self.fonts.scale

    @property
    def _ticks_right(self) -> float:
        return 1.5 * self._slim + max(width_of(tick, self.fonts.small) for tick in self.ticks)

    @property
    def width(self) -> float:
        """Width in inches of bar, ticks and label."""
        return self._ticks_right + text_height([self.label], self.fonts.small, self._slim / 3)

    def draw(self, page: Page, left: float, top: float, colormap: str) -> None:
        """Draw bar, ticks and label.

        Args:
            page: Where to draw.
            left: The left edge, in inches from the page's.
            top: The upper edge, in inches from the page's.
            colormap: Any name of the cmap catalogue.
        """
        axes = page.axes(Cell(left, top, self._slim, self.height))
        axes.imshow(lut(colormap)[::-1, None], aspect="auto", extent=(0, 1, 0, 1), interpolation="bilinear")
        axes.set_label("colorbar")
        low, middle, high = self.ticks
        beside, small = left + 1.5 * self._slim, self.fonts.small
        page.text([high], beside, top, small, ha="left", va="top")
        page.text([middle] if middle else [], beside, top + self.height / 2, small, ha="left", va="center")
        page.text([low], beside, top + self.height, small, ha="left")
        label_centre = left + (self._ticks_right + self._slim / 3 + self.width) / 2
        page.text(
            self.label, label_centre, top + self.height / 2, small, va="center", colour=SOFT, upright=True
        )


def ticks_of(low: str | None, high: str | None, *, signed: bool) -> tuple[str, str, str]:
    """Give the texts at the bottom, middle and top of a colour bar.

    Args:
        low: The text at the bottom; None: "0", or "−1" if signed.
        high: The text at the top; None: "1".
        signed: Whether the middle stands for zero.
    """
    lowest = "−1" if signed else "0"
    return (lowest if low is None else low, "0" if signed else "", "1" if high is None else high)


def text_height(texts: Sequence[Sequence[str]], size: float, gap: float = 0.0) -> float:
    """Give the height in inches of texts beside each other, and a gap; 0 if there is no text.

    Args:
        texts: The lines of each text.
        size: The font size, in points.
        gap: What is added below them, in inches.
    """
    lines = max(map(len, texts), default=0)
    return height_of(lines, size) + gap if lines else 0.0


def draw_on(axes: Axes, panel: Panel, *, colormap: str, opacity: float) -> None:
    """Draw a photo with its heatmap, its boxes, its note and its title on the axes of somebody's own figure.

    Args:
        axes: Where to draw; they lose their ticks, and take the photo's aspect ratio.
        panel: What to draw.
        colormap: Any name of the cmap catalogue.
        opacity: How much of the heatmap's colours covers the photo, 0 to 1.

    Raises:
        InputError: The heatmap does not have the photo's size, or the colour map is unknown.
    """
    extent = axes.get_window_extent()
    dpi = axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    cell = Cell(0, 0, extent.width / dpi, extent.height / dpi)
    width, height = panel.size
    picture = np.asarray(_picture(panel, cell, colormap, opacity))
    axes.imshow(picture, extent=(0, width, height, 0), interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    _draw_boxes(axes, panel.boxes)
    fonts = Fonts.scaled((min(cell.width, cell.height) / 2.6) ** 0.5)
    lines = fit(panel.title, cell.width, fonts.title) + fit(panel.subtitle, cell.width, fonts.small)
    axes.set_title("\n".join(lines), fontsize=fonts.title, **PLAIN)
    if panel.note:
        words = fit(panel.note, cell.width, fonts.small)
        axes.set_xlabel("\n".join(words), fontsize=fonts.small, **PLAIN)


def draw_panel(page: Page, cell: Cell, panel: Panel, fonts: Fonts, *, colormap: str, opacity: float) -> None:
    """Draw a photo with its heatmap, its boxes and its note.

    Args:
        page: Where to draw.
        cell: The rectangle to fill, in inches.
        panel: What to draw.
        fonts: The sizes of the texts.
        colormap: Any name of the cmap catalogue.
        opacity: How much of the heatmap's colours covers the photo, 0 to 1.

    Raises:
        InputError: The heatmap does not have the photo's size, or the colour map is unknown.
    """
    width, height = panel.size
    axes = page.axes(cell)
    picture = np.asarray(_picture(panel, cell, colormap, opacity))
    axes.imshow(picture, extent=(0, width, height, 0), aspect="auto", interpolation="antialiased")
    _draw_boxes(axes, panel.boxes)
    if panel.note:
        _draw_note(page, axes, panel.note, cell, fonts.small)


def _picture(panel: Panel, cell: Cell, colormap: str, opacity: float) -> Image.Image:
    """Give the panel's photo, with its heatmap if it has one, at no more pixels than print needs."""
    photo = as_rgb(panel.image)
    if panel.heatmap is not None:
        check_size(photo, panel.heatmap)
    width, height = (
        min(pixels, max(1, round(inches * _PRINT_DPI)))
        for pixels, inches in zip(photo.size, (cell.width, cell.height), strict=True)
    )
    small = photo.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if panel.heatmap is None:
        return small
    # Heatmaps are smooth, so taking the nearest value is exact enough, and it keeps the edge of a NaN region sharp.
    rows = (np.arange(height) * 2 + 1) * photo.height // (2 * height)
    columns = (np.arange(width) * 2 + 1) * photo.width // (2 * width)
    return overlay(small, panel.heatmap[rows[:, None], columns], colormap=colormap, opacity=opacity)


def _draw_boxes(axes: Axes, boxes: Sequence[tuple[int, int, int, int]]) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    # White on a dark stroke shows on every photo and every colour map.
    stroke = withStroke(linewidth=2.6, foreground="#000000a6")
    for x0, y0, x1, y1 in boxes:
        outline = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=1.3)
        outline.set_path_effects([stroke])
        axes.add_patch(outline)


def _draw_note(page: Page, axes: Axes, note: str, cell: Cell, size: float) -> None:
    pad = size / 120
    room = int((cell.height - 4 * pad) / height_of(1, size))
    if (
        room < 1
    ):  # the photo is lower than a line of text, so the note stands under it, where the row leaves space
        page.text(fit(note, cell.width, size, lines=1), cell.centre, cell.bottom, size, va="top", colour=SOFT)
        return
    lines = fit(note, cell.width - 4 * pad, size, lines=room)
    box = {"boxstyle": f"round,pad={pad * 72 / size}", "facecolor": "#000000b3", "edgecolor": "none"}
    axes.text(
        0.5,
        2 * pad / cell.height,
        "\n".join(lines),
        transform=axes.transAxes,
        ha="center",
        va="bottom",
        color="white",
        fontsize=size,
        linespacing=1.15,
        bbox=box,
        **PLAIN,
    )
