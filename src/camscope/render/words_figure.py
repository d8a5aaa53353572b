"""Coloured words as a figure for a paper: lines of words on their colours, a row for each map, one colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from camscope.errors import InputError
from camscope.render.colour import DEFAULT
from camscope.render.frame import MARGIN, Frame
from camscope.render.page import PLAIN, Page, require_matplotlib
from camscope.render.parts import Bar, Fonts, ticks_of
from camscope.render.row_heading import RowHeading
from camscope.render.surface import SOFT
from camscope.render.word_fonts import families, visual
from camscope.render.word_lines import Piece, lines_of
from camscope.render.word_rows import Rgb, WordRow, hex_of, painted, words_colormap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEADING = 1.75
"""The distance from one line of words to the next, in font sizes."""
_GROUND = 1.45
"""The height of a word's coloured ground, in font sizes."""
_LOWEST = 0.8
"""The least height of the rows together, in inches, so that the colour bar has room."""


def words_figure(
    rows: Sequence[WordRow],
    *,
    title: str = "",
    caption: str = "",
    colormap: str = DEFAULT,
    signed: bool = False,
    colorbar_label: str = "evidence (relative)",
    width: float = 6.3,
    font_size: float = 10,
    low: str | None = None,
    high: str | None = None,
    most_lines: int = 60,
) -> Figure:
    """Draw rows of coloured words as one figure, exactly as high as its content.

    Scripts that run from right to left are drawn so. A character that no installed font has is drawn as ▯.

    Args:
        rows: One row for each map; their texts may differ.
        title: The title above everything.
        caption: Small text under everything.
        colormap: Any name of the cmap catalogue; the default is pale at zero.
        signed: Whether 0.5 stands for zero in the values.
        colorbar_label: What the colours mean.
        width: Of the figure, in inches; the text of an A4 page is 6.3 wide, a column 3.3.
        font_size: Of the words, in points.
        low: The text at the bottom of the colour bar; None: "0", or "−1" if signed.
        high: The text at the top of the colour bar; None: "1".
        most_lines: How many lines a row may have; a longer text is cut, and ends in an ellipsis.

    Raises:
        InputError: There are no rows, or the width has no room for a word.
        MissingExtraError: matplotlib or cmap is not installed.
    """
    require_matplotlib()
    if not rows:
        raise InputError("a figure of words needs at least one row.")
    if not width >= 1.5:
        raise InputError(f"width must be at least 1.5 inches, or no word fits; got {width}.")
    chosen = words_colormap(colormap, signed)
    fonts = Fonts.scaled(font_size / 10)
    gap = fonts.gap
    ticks = ticks_of(low, high, signed=signed)
    # The bar's width depends on how many lines its label takes, and so on its height, which depends on the words'
    # lines. So room is left for a bar of the least height, which is the widest.
    aside = Bar.of(_LOWEST, ticks, colorbar_label, fonts).width + 1.5 * gap
    text_width = width - 2 * MARGIN - aside
    laid = [lines_of(row, text_width, font_size, most_lines) for row in rows]
    heads = [RowHeading.of(row, text_width, fonts) for row in rows]

    frame = Frame.of(title, caption, width, fonts)
    step = _LEADING * font_size / 72
    heights = [head.height + len(lines) * step for head, lines in zip(heads, laid, strict=True)]
    between = 1.2 * gap
    body = max(sum(heights) + between * (len(rows) - 1), _LOWEST)
    page = frame.page(frame.top + body)
    at = frame.top
    for row, head, lines, height in zip(rows, heads, laid, heights, strict=True):
        head.draw(page, MARGIN, at)
        colours = painted(row.values, chosen)
        for number, line in enumerate(lines):
            _draw_line(page, line, colours, at + head.height + number * step, font_size)
        at += height + between
    bar = Bar.of(min(body, 2.2), ticks, colorbar_label, fonts)
    bar.draw(page, width - MARGIN - aside + 1.5 * gap, frame.top + (body - bar.height) / 2, chosen)
    return page.figure


def _draw_line(
    page: Page, line: Sequence[Piece], colours: Sequence[tuple[Rgb, Rgb]], top: float, size: float
) -> None:
    from matplotlib.patches import FancyBboxPatch

    height = _GROUND * size / 72
    middle = top + _LEADING * size / 144
    for piece in line:
        ink = SOFT
        left, right = MARGIN + piece.left, MARGIN + piece.left + piece.width
        if piece.word is not None:
            ground, dark = colours[piece.word]
            ink = hex_of(dark)
            rounding = 0.12 * size / 72
            page.figure.add_artist(
                FancyBboxPatch(
                    (left + rounding, page.height - middle - height / 2 + rounding),
                    piece.width - 2 * rounding,
                    height - 2 * rounding,
                    boxstyle=f"round,pad={rounding},rounding_size={rounding}",
                    facecolor=hex_of(ground),
                    linewidth=0,
                    transform=page.figure.dpi_scale_trans,
                )
            )
        page.figure.text(
            (left + right) / 2 / page.width,
            1 - (middle + 0.34 * size / 72) / page.height,
            visual(piece.text),
            ha="center",
            va="baseline",
            color=ink,
            fontsize=size,
            family=list(families()),
            **PLAIN,
        )
