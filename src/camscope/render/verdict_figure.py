"""What verdicts on maps rest on, as a figure for a paper: the maps, how well they do beside others, and the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from camscope.errors import InputError
from camscope.render.colour import DEFAULT
from camscope.render.frame import Frame
from camscope.render.one_verdict import draw_one
from camscope.render.page import require_matplotlib
from camscope.render.parts import Fonts
from camscope.render.several_verdicts import draw_several
from camscope.render.verdict_parts import Cloud, VerdictRow, VerdictStyle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Cloud", "VerdictRow", "verdict_figure"]

_LEAST_WIDTH = 5.0


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
    style = VerdictStyle(fonts, colormap, opacity)
    if len(rows) == 1:
        return draw_one(rows[0], frame, style, level_label, x_label, y_label).figure
    return draw_several(rows, frame, style, level_label).figure
