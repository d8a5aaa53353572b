"""A matplotlib figure addressed in inches from its top left corner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from camscope.errors import MissingExtraError
from camscope.render.fitting import BASELINE, LINE, height_of
from camscope.render.layout import Cell
from camscope.render.surface import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Photos are shrunk to what 300 dots per inch can print, so that sixty 12-megapixel panels take little memory.
_PRINT_DPI = 300


def require_matplotlib() -> None:
    """Raise MissingExtraError unless matplotlib can be imported."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("figures", "plot") from error


class Page:
    """An empty white figure of a given size in inches, which belongs to no pyplot state; see `Surface`.

    Args:
        width: In inches.
        height: In inches.
    """

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        from camscope.render.live_figure import LiveFigure

        self.width, self.height = width, height
        self.figure = LiveFigure(figsize=(width, height), dpi=100, facecolor="white")
        FigureCanvasAgg(self.figure)

    def axes(self, cell: Cell) -> Axes:
        """Give axes without ticks that fill a cell; a thin line sets white photos off from the white page."""
        axes = self.figure.add_axes(
            (
                cell.left / self.width,
                1 - cell.bottom / self.height,
                cell.width / self.width,
                cell.height / self.height,
            )
        )
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(linewidth=0.4, color="#00000059")
        return axes

    def text(
        self,
        lines: Sequence[str],
        left: float,
        top: float,
        size: float,
        *,
        ha: Literal["left", "center", "right"] = "center",
        va: Literal["top", "center", "bottom"] = "bottom",
        colour: str = INK,
        weight: str = "normal",
        upright: bool = False,
    ) -> None:
        """Write lines of text; see `Surface.text`."""
        start = -height_of(len(lines), size) * {"top": 0.0, "center": 0.5, "bottom": 1.0}[va]
        turned: dict[str, Any] = {"rotation": 90, "rotation_mode": "anchor"} if upright else {}
        for number, line in enumerate(lines):
            down = start + (number * LINE + BASELINE) * size / 72
            x, y = (left + down, top) if upright else (left, top + down)
            self.figure.text(
                x / self.width,
                1 - y / self.height,
                line,
                ha=ha,
                va="baseline",
                color=colour,
                fontsize=size,
                fontweight=weight,
                **PLAIN,
                **turned,
            )

    def pixels(self, cell: Cell) -> tuple[int, int]:
        """Give the (width, height) in pixels that print needs for a picture in a cell."""
        return print_pixels(cell)

    def panel(
        self,
        cell: Cell,
        picture: Image.Image,
        photo: tuple[int, int],
        boxes: Sequence[tuple[int, int, int, int]],
        note: Sequence[str],
        size: float,
    ) -> None:
        """Draw a picture in a cell; see `Surface.panel`."""
        axes = self.axes(cell)
        width, height = photo
        extent = (0, width, height, 0)
        axes.imshow(np.asarray(picture), extent=extent, aspect="auto", interpolation="antialiased")
        draw_boxes(axes, boxes)
        if not note:
            return
        pad = size / 120
        ground = {"boxstyle": f"round,pad={pad * 72 / size}", "facecolor": "#000000b3", "edgecolor": "none"}
        axes.text(
            0.5,
            2 * pad / cell.height,
            "\n".join(note),
            transform=axes.transAxes,
            ha="center",
            va="bottom",
            color="white",
            fontsize=size,
            linespacing=1.15,
            bbox=ground,
            **PLAIN,
        )

    def ramp(self, cell: Cell, colours: UInt8[np.ndarray, "levels 3"]) -> None:
        """Fill a cell with colours, the first at the bottom."""
        axes = self.axes(cell)
        axes.imshow(colours[::-1, None], aspect="auto", extent=(0, 1, 0, 1), interpolation="bilinear")
        axes.set_label("colorbar")


def print_pixels(cell: Cell) -> tuple[int, int]:
    """Give the (width, height) in pixels that print needs for a picture in a cell."""
    width, height = (max(1, round(inches * _PRINT_DPI)) for inches in (cell.width, cell.height))
    return width, height


def draw_boxes(axes: Axes, boxes: Sequence[tuple[int, int, int, int]]) -> None:
    """Outline boxes on axes: (x0, y0, x1, y1) in the axes' own coordinates."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    # White on a dark stroke shows on every photo and every colour map.
    stroke = withStroke(linewidth=2.6, foreground="#000000a6")
    for x0, y0, x1, y1 in boxes:
        outline = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white", linewidth=1.3)
        outline.set_path_effects([stroke])
        axes.add_patch(outline)


PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
"""Options for matplotlib's texts: class names are not mathematics, so a "$" in them is a dollar sign."""
