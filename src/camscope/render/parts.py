"""The parts of a figure: font sizes, headings, pictures, the colour bar. Each knows its size and draws itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from camscope.render.colour import lut
from camscope.render.fitting import Measure, fit, height_of, width_of
from camscope.render.layout import Cell, Grid
from camscope.render.overlay import check_size, overlay
from camscope.render.page import PLAIN, draw_boxes, print_pixels
from camscope.render.panel import Panel
from camscope.render.rgb import Photo, as_rgb
from camscope.render.surface import SOFT, Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Fonts:
    """Font sizes in points, and the gap that goes with them.

    Attributes:
        scale: The factor to the usual sizes.
        measure: How wide a text is where it will be drawn.
    """

    scale: float
    measure: Measure = width_of

    @classmethod
    def scaled(cls, factor: float, measure: Measure = width_of) -> Fonts:
        """Give the fonts for content that is larger by a factor, within what stays legible."""
        return cls(min(1.5, max(0.75, factor)), measure)

    def fit(
        self, text: str, width: float, size: float, *, weight: str = "normal", lines: int = 2
    ) -> list[str]:
        """Break a text in these fonts into lines; see `camscope.render.fitting.fit`.

        Args:
            text: What to break.
            width: The room for a line, in inches.
            size: The font size, in points.
            weight: `normal` or `bold`.
            lines: How many lines there may be.
        """
        return fit(text, width, size, weight=weight, lines=lines, measure=self.measure)

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
            [fonts.fit(panel.title, width, fonts.title) for panel, width in pairs],
            [fonts.fit(panel.subtitle, width, fonts.small) for panel, width in pairs],
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

    def draw(self, page: Surface, grid: Grid, left: float, bottom: float) -> None:
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
        return cls(height, ticks, fonts.fit(label, height, fonts.small), fonts)

    @property
    def _slim(self) -> float:
        return 0.1 * self.fonts.scale

    @property
    def _ticks_right(self) -> float:
        return 1.5 * self._slim + max(
            self.fonts.measure(tick, self.fonts.small, "normal") for tick in self.ticks
        )

    @property
    def width(self) -> float:
        """Width in inches of bar, ticks and label."""
        return self._ticks_right + text_height([self.label], self.fonts.small, self._slim / 3)

    def draw(self, page: Surface, left: float, top: float, colormap: str) -> None:
        """Draw bar, ticks and label.

        Args:
            page: Where to draw.
            left: The left edge, in inches from the page's.
            top: The upper edge, in inches from the page's.
            colormap: Any name of the cmap catalogue.
        """
        page.ramp(Cell(left, top, self._slim, self.height), lut(colormap))
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
    small = Shrunk().photo(panel.image, print_pixels(cell))
    picture = np.asarray(_picture(panel, small, colormap, opacity))
    axes.imshow(picture, extent=(0, width, height, 0), interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    draw_boxes(axes, panel.boxes)
    fonts = Fonts.scaled((min(cell.width, cell.height) / 2.6) ** 0.5)
    lines = fit(panel.title, cell.width, fonts.title) + fit(panel.subtitle, cell.width, fonts.small)
    axes.set_title("\n".join(lines), fontsize=fonts.title, **PLAIN)
    if panel.note:
        words = fit(panel.note, cell.width, fonts.small)
        axes.set_xlabel("\n".join(words), fontsize=fonts.small, **PLAIN)


class Shrunk:
    """The photos of a figure at the sizes that they are shown at, each made once for all panels that show it."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int, int], tuple[Any, Image.Image]] = {}

    def photo(self, image: Photo, most: tuple[int, int]) -> Image.Image:
        """Give a photo at no more pixels along each axis than these.

        Args:
            image: As a panel has it.
            most: Width and height.
        """
        if (id(image), *most) not in self._made:
            photo = as_rgb(image)
            width, height = (min(pixels, limit) for pixels, limit in zip(photo.size, most, strict=True))
            small = photo.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
            self._made[id(image), *most] = image, small  # the image too, or another might get its id
        return self._made[id(image), *most][1]


def draw_panel(
    page: Surface,
    cell: Cell,
    panel: Panel,
    fonts: Fonts,
    shrunk: Shrunk,
    *,
    colormap: str,
    opacity: float,
) -> None:
    """Draw a photo with its heatmap, its boxes and its note.

    Args:
        page: Where to draw.
        cell: The rectangle to fill, in inches.
        panel: What to draw.
        fonts: The sizes of the texts.
        shrunk: The photos of the figure.
        colormap: Any name of the cmap catalogue.
        opacity: How much of the heatmap's colours covers the photo, 0 to 1.

    Raises:
        InputError: The heatmap does not have the photo's size, or the colour map is unknown.
    """
    picture = _picture(panel, shrunk.photo(panel.image, page.pixels(cell)), colormap, opacity)
    size = fonts.small
    pad = size / 120
    room = max(0, int((cell.height - 4 * pad) / height_of(1, size)))
    inside = fonts.fit(panel.note, cell.width - 4 * pad, size, lines=room) if room else []
    page.panel(cell, picture, panel.size, panel.boxes, inside, size)
    if panel.note and not room:
        # the photo is lower than a line of text, so the note stands under it, where the row leaves space
        under = fonts.fit(panel.note, cell.width, size, lines=1)
        page.text(under, cell.centre, cell.bottom, size, va="top", colour=SOFT)


def _picture(panel: Panel, small: Image.Image, colormap: str, opacity: float) -> Image.Image:
    """Give the panel's photo as it is shown, with its heatmap if it has one."""
    if panel.heatmap is None:
        return small
    check_size(panel.size, panel.heatmap)
    # Heatmaps are smooth, so taking the nearest value is exact enough, and it keeps the edge of a NaN region sharp.
    rows, columns = (
        (np.arange(shown) * 2 + 1) * pixels // (2 * shown)
        for shown, pixels in zip(small.size[::-1], panel.size[::-1], strict=True)
    )
    return overlay(small, panel.heatmap[rows[:, None], columns], colormap=colormap, opacity=opacity)
