"""The fonts that words of any script are drawn in: which there are, what they lack, how wide a text is in them."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

from camscope.render.fitting import line_width
from camscope.render.word_rows import right_to_left

_MISSING = "▯"
# Fonts that hold characters which matplotlib's own lacks; those that are installed are tried in this order.
_FALLBACK = (
    "Noto Sans", "Noto Emoji", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Devanagari", "Noto Sans Thai",
    "Noto Naskh Arabic", "Segoe UI", "Segoe UI Emoji", "Microsoft YaHei", "Arial Unicode MS", "PingFang SC",
    "Apple Symbols", "WenQuanYi Zen Hei", "Symbola",
)  # fmt: skip


@lru_cache(maxsize=1)
def families() -> tuple[str, ...]:
    """Give the names of the fonts: matplotlib's own, then those installed that hold more characters."""
    from matplotlib import font_manager, rcParams

    installed = set(font_manager.get_font_names())
    own = [name for name in rcParams["font.sans-serif"] if name in installed][:1]
    return (*own, *(name for name in _FALLBACK if name in installed))


def drawable(word: str) -> str:
    """Give a word with ▯ for every character that no font has.

    Marks that no font has and that only join or vary other characters are left out.
    """
    kept = []
    for letter in word:
        if any(font.get_char_index(ord(letter)) for font in _fonts()):
            kept.append(letter)
        elif unicodedata.category(letter) not in ("Cf", "Mn", "Cc"):
            kept.append(_MISSING)
    return "".join(kept) or _MISSING


def visual(text: str) -> str:
    """Give the letters in the order to draw them: matplotlib before 3.11 sets every script from left to right."""
    from matplotlib import __version_info__

    backwards = __version_info__ < (3, 11) and right_to_left([text])
    return text[::-1] if backwards else text


@lru_cache(maxsize=8192)
def word_width(text: str, size: float, weight: str = "normal") -> float:
    """Give the width in inches of a line of text in these fonts.

    Args:
        text: one line.
        size: the font size, in points.
        weight: `normal` or `bold`.
    """
    return line_width(text, family=list(families()), size=size, weight=weight)


@lru_cache(maxsize=1)
def _fonts() -> tuple[Any, ...]:
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    found = (font_manager.findfont(font_manager.FontProperties(family=name)) for name in families())
    return tuple(FT2Font(path) for path in found)
