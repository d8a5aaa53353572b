"""Coloured words for the terminal, as texts of the library rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camscope.render.colour import DEFAULT
from camscope.render.word_rows import WordRow, hex_of, painted, words_colormap

if TYPE_CHECKING:
    from rich.text import Text


def words_text(row: WordRow, *, colormap: str = DEFAULT, signed: bool = False) -> Text:
    """Give one row as a rich text, each word on its colour. Markup in the words is shown, not obeyed.

    Args:
        row: the words and their values.
        colormap: any name of the cmap catalogue.
        signed: whether 0.5 stands for zero in the values.

    Raises:
        InputError: the values are not in [0, 1], or the colour map is unknown.
        MissingExtraError: cmap is not installed.
    """
    from rich.text import Text

    text = Text()
    colours = painted(row.values, words_colormap(colormap, signed))
    for i, (word, glued, (ground, ink)) in enumerate(zip(row.words, row.glued, colours, strict=True)):
        if i and not glued:
            text.append(" ")
        text.append(_printable(word), style=f"{hex_of(ink)} on {hex_of(ground)}")
    return text


def _printable(word: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter == "\u200d" else "�" for letter in word)
