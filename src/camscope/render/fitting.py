"""Texts that fit: measured with the renderer that will draw them, wrapped, and shortened as a last resort."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

Measure: TypeAlias = Callable[[str, float, str], float]
"""The width in inches of one line of text, from the line, the font size in points, and `normal` or `bold`."""

LINE = 1.3
"""The distance from one line to the next, in font sizes."""
BASELINE = 1.0
"""The distance from the top of a line to its baseline, in font sizes."""

_ELLIPSIS = "…"
# At low resolutions hinting moves glyphs by parts of a pixel, so a text may be drawn slightly wider than measured.
_SLACK = 1.02
_MEASURING_DPI = 288


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Give the width in inches of one line of text in matplotlib's current font.

    Args:
        text: One line.
        size: The font size, in points.
        weight: `normal` or `bold`.
    """
    return line_width(text, size=size, weight=weight) * _SLACK


def line_width(text: str, **font: Any) -> float:
    """Give the width in inches of one line of text.

    Args:
        text: One line.
        font: What `matplotlib.font_manager.FontProperties` takes: the size in points, the weight, the family.
    """
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    agg: Any = RendererAgg  # matplotlib leaves it untyped
    renderer = agg(1, 1, _MEASURING_DPI)
    width, _, _ = renderer.get_text_width_height_descent(text, FontProperties(**font), False)
    return float(width) / _MEASURING_DPI


def height_of(lines: int, size: float) -> float:
    """Give the height in inches reserved for a number of lines at `size` points."""
    return lines * size * LINE / 72


def fit(
    text: str,
    width: float,
    size: float,
    *,
    weight: str = "normal",
    lines: int = 2,
    measure: Measure = width_of,
) -> list[str]:
    """Break a text into at most `lines` lines of at most `width` inches.

    Lines break between words; a word longer than a line is broken inside. What does not fit into the last line
    is replaced by an ellipsis. Line breaks in the text are kept; other white space becomes single spaces.

    Args:
        text: What to break.
        width: The room for a line, in inches.
        size: The font size, in points.
        weight: `normal` or `bold`.
        lines: How many lines there may be.
        measure: How wide a text is where it will be drawn.
    """
    broken: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if measure(longer, size, weight) <= width:
                line = longer
                continue
            if line:
                broken.append(line)
            *full, line = _pieces(word, width, size, weight, measure)
            broken.extend(full)
        if line:
            broken.append(line)
        if len(broken) > lines:
            break
    if len(broken) <= lines:
        return broken
    return [*broken[: lines - 1], _ellipsised(broken[lines - 1], width, size, weight, measure)]


def _pieces(word: str, width: float, size: float, weight: str, measure: Measure) -> list[str]:
    """Cut a word into pieces that fit; every piece has at least one letter."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and measure(pieces[-1] + letter, size, weight) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _ellipsised(line: str, width: float, size: float, weight: str, measure: Measure) -> str:
    while line and measure(line + _ELLIPSIS, size, weight) > width:
        line = line[:-1]
    return line.rstrip(" ,;:") + _ELLIPSIS
