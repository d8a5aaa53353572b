"""Texts that fit: measured with the renderer that will draw them, wrapped, and shortened as a last resort."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

# In font sizes: from one line to the next, and from the top of a line to its baseline.
LINE = 1.3
BASELINE = 1.0

_ELLIPSIS = "…"
# Hinting moves glyphs by parts of a pixel at low resolutions, so a measured text may come out slightly wider.
_SLACK = 1.02
_MEASURING_DPI = 288


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Give the width in inches of one line of text in matplotlib's current font, at `size` points."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    agg: Any = RendererAgg  # matplotlib leaves it untyped
    renderer = agg(1, 1, _MEASURING_DPI)
    width, _, _ = renderer.get_text_width_height_descent(
        text, FontProperties(size=size, weight=weight), False
    )
    return float(width) / _MEASURING_DPI * _SLACK


def height_of(lines: int, size: float) -> float:
    """Give the height in inches reserved for a number of lines at `size` points."""
    return lines * size * LINE / 72


def fit(text: str, width: float, size: float, *, weight: str = "normal", lines: int = 2) -> list[str]:
    """Break a text into at most `lines` lines of at most `width` inches.

    Breaks stand between words; a word longer than a line is broken inside. What does not fit in the last line
    gives way to an ellipsis. Line breaks in the text are kept, other white space collapses.
    """
    broken: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if width_of(longer, size, weight) <= width:
                line = longer
                continue
            if line:
                broken.append(line)
            *full, line = _pieces(word, width, size, weight)
            broken.extend(full)
        if line:
            broken.append(line)
        if len(broken) > lines:
            break
    if len(broken) <= lines:
        return broken
    return [*broken[: lines - 1], _ellipsised(broken[lines - 1], width, size, weight)]


def _pieces(word: str, width: float, size: float, weight: str) -> list[str]:
    """Cut a word into pieces that fit; every piece has at least one letter."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and width_of(pieces[-1] + letter, size, weight) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _ellipsised(line: str, width: float, size: float, weight: str) -> str:
    while line and width_of(line + _ELLIPSIS, size, weight) > width:
        line = line[:-1]
    return line.rstrip(" ,;:") + _ELLIPSIS
