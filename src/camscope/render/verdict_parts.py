"""What figures of verdicts are made of: what is known of one map, how pictures and axes look, keys to marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float

from camscope.render.colour import resolve
from camscope.render.fitting import height_of
from camscope.render.layout import Cell
from camscope.render.levels import Levels
from camscope.render.page import Page
from camscope.render.panel import Panel
from camscope.render.parts import Fonts, Shrunk, draw_panel
from camscope.render.signal_rows import SignalRow, draw_lines, draw_strip
from camscope.render.surface import INK
from camscope.render.word_rows import words_colormap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Mark: TypeAlias = tuple[str, str, bool]
"""A mark of matplotlib's, its colour, and whether it is filled."""


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


@dataclass(frozen=True)
class VerdictStyle:
    """How everything is drawn.

    Attributes:
        fonts: The sizes of texts.
        colormap: Of heatmaps.
        opacity: Likewise.
    """

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
        """Draw a map on its photo or its signal.

        Args:
            page: Where to draw.
            cell: The rectangle to fill.
            shown: What to draw.
            shrunk: The photos of the figure.
        """
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
        axes.tick_params(length=2.5, width=0.6, pad=2, labelsize=self.fonts.small, labelcolor=INK, color=INK)


def draw_key(page: Page, left: float, top: float, mark: Mark, words: str, fonts: Fonts) -> None:
    """Draw a mark and write what it stands for.

    Args:
        page: Where to draw.
        left: The left edge, in inches from the page's.
        top: The upper edge, likewise.
        mark: What is explained.
        words: What it stands for.
        fonts: The sizes of texts.
    """
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
