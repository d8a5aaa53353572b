"""A matplotlib figure addressed in inches from its top left corner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from camscope.errors import MissingExtraError
from camscope.render.fitting import BASELINE, LINE, height_of
from camscope.render.layout import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, SOFT = "#1c1c1c", "#666666"


def require_matplotlib() -> None:
    """Raise MissingExtraError unless matplotlib can be imported."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("figures", "plot") from error


class Page:
    """An empty white figure of a given size in inches; it belongs to no pyplot state."""

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
        """Write lines of text, each on its own baseline, so that texts side by side stay level.

        Args:
            lines: The lines, from top to bottom.
            left: Where the block stands, in inches from the page's left edge; `ha` says which point of the block.
            top: Likewise, in inches from the page's top edge; `va` says which point of the block.
            size: The font size, in points.
            ha: Whether `left` is the block's left edge, its centre or its right edge.
            va: Whether `top` is the block's top edge, its centre or its bottom edge.
            colour: Of the text.
            weight: `normal` or `bold`.
            upright: Turn the block so that its lines run upwards.
        """
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


PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
"""Options for matplotlib's texts: class names are not mathematics, so a "$" in them is a dollar sign."""
