"""Words coloured by their evidence: what stands in a row, and which colours; drawn by the modules beside it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError
from camscope.render.colour import DEFAULT, colours

# Words stand on white paper or a page's own ground, so zero is pale here, not dark as over photos: near-white to dark
# red, and blue (against) over near-white to red-brown (for). Both even in lightness, both safe for colour-blind eyes.
WORDS = "cmocean:amp"
WORDS_DIVERGING = "crameri:vik"

Rgb: TypeAlias = tuple[int, int, int]
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class WordRow:
    """One text coloured by one map.

    Attributes:
        words: in order.
        glued: which of them follow the one before without a space.
        values: of each word, in [0, 1]; 0.5 is zero where they are signed.
        title: the target, or the method.
        subtitle: numbers beside it.
        note: what to know of this map.
    """

    words: Sequence[str]
    glued: Sequence[bool]
    values: Float[np.ndarray, word]
    title: str = ""
    subtitle: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not len(self.words) == len(self.glued) == len(self.values):
            raise InputError(
                f"a row needs one value for each word: {len(self.words)} words, {len(self.values)} values."
            )


def words_colormap(colormap: str, signed: bool) -> str:
    """Give the colour map to use for words: the default gives way to one that is pale at zero."""
    if colormap != DEFAULT:
        return colormap
    return WORDS_DIVERGING if signed else WORDS


def painted(values: Float[np.ndarray, word], colormap: str) -> list[tuple[Rgb, Rgb]]:
    """Give each word's ground and the ink that is readable on it, black or white.

    Args:
        values: in [0, 1].
        colormap: any name of the cmap catalogue.
    """
    if not len(values):
        return []
    grounds = [(int(r), int(g), int(b)) for r, g, b in colours(values[None], colormap)[0]]
    return [(ground, _ink(ground)) for ground in grounds]


def hex_of(colour: Rgb) -> str:
    """Give a colour as HTML writes it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def right_to_left(words: Sequence[str]) -> bool:
    """Whether the first letter with a direction is of a script that runs from right to left."""
    for letter in "".join(words):
        direction = unicodedata.bidirectional(letter)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def _ink(ground: Rgb) -> Rgb:
    """The one of black and white with the higher contrast, by WCAG's relative luminance."""
    light = _luminance(ground)
    return _BLACK if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else _WHITE


def _luminance(colour: Rgb) -> float:
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
