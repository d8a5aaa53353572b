"""Words coloured by their evidence: the words of a row, and their colours. The modules beside this one draw them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError
from camscope.render.colour import DEFAULT, colours

# Words stand on white paper, so zero is pale here, and not dark as over photos. WORDS runs from near-white to dark red,
# WORDS_DIVERGING from blue (against) over near-white to red-brown (for). The lightness of both changes evenly, and both
# can be read by colour-blind eyes.
WORDS = "cmocean:amp"
WORDS_DIVERGING = "crameri:vik"

Rgb: TypeAlias = tuple[int, int, int]
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class WordRow:
    """One text coloured by one map.

    Attributes:
        words: the words in order.
        glued: whether each word follows the one before it without a space.
        values: the value of each word, in [0, 1]; 0.5 stands for zero if values are signed.
        title: the target, or the method.
        subtitle: the numbers beside the title.
        note: a status that a reader of this map should know.
    """

    words: Sequence[str]
    glued: Sequence[bool]
    values: Float[np.ndarray, " word"]
    title: str = ""
    subtitle: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not len(self.words) == len(self.glued) == len(self.values):
            raise InputError(
                f"a row needs one value for each word: {len(self.words)} words, {len(self.values)} values."
            )


def words_colormap(colormap: str, signed: bool) -> str:
    """Give the colour map to use for words: one that is pale at zero replaces `DEFAULT`; any other choice stays."""
    if colormap != DEFAULT:
        return colormap
    return WORDS_DIVERGING if signed else WORDS


def painted(values: Float[np.ndarray, " word"], colormap: str) -> list[tuple[Rgb, Rgb]]:
    """Give each word's background colour, and black or white for the letters, whichever is readable on it.

    Args:
        values: the value of each word, in [0, 1].
        colormap: any name of the cmap catalogue.
    """
    if not len(values):
        return []
    grounds = [(int(r), int(g), int(b)) for r, g, b in colours(values[None], colormap)[0]]
    return [(ground, _ink(ground)) for ground in grounds]


def hex_of(colour: Rgb) -> str:
    """Give a colour as HTML writes it, such as `#ff8000`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def right_to_left(words: Sequence[str]) -> bool:
    """Whether a text runs from right to left, as its first letter with a direction does."""
    for letter in "".join(words):
        direction = unicodedata.bidirectional(letter)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def _ink(ground: Rgb) -> Rgb:
    """Black or white, whichever has the higher contrast by WCAG's relative luminance."""
    light = _luminance(ground)
    return _BLACK if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else _WHITE


def _luminance(colour: Rgb) -> float:
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
