"""The words of a row laid out in lines: where each one stands before anything is drawn."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace

from camscope.render.word_fonts import drawable, word_width
from camscope.render.word_rows import WordRow, right_to_left

_PAD = 0.22
"""The coloured ground on either side of a word, in font sizes."""
_SPACE = 0.14
"""The gap between two words, in font sizes."""


@dataclass(frozen=True)
class Piece:
    """A word in its place on a line, or a part of a word that is longer than a line.

    Attributes:
        text: What is drawn.
        word: The number of the word in its row; None for the ellipsis of a text that was cut.
        left: The left edge, in inches from the line's beginning.
        width: Of the coloured ground, in inches.
    """

    text: str
    word: int | None
    left: float
    width: float


def lines_of(row: WordRow, width: float, size: float, most: int) -> list[list[Piece]]:
    """Lay the words of a row out in lines.

    A word longer than a line is broken. Words that are glued together go to the next line together if they fit there.

    Args:
        row: The words.
        width: Of a line, in inches.
        size: The font size, in points.
        most: How many lines there may be; of a longer text the last word that fits gives way to an ellipsis.
    """
    pad, space = _PAD * size / 72, _SPACE * size / 72
    shown = [drawable(word) for word in row.words]
    lines: list[list[Piece]] = [[]]
    at = 0.0
    for group in _groups(row):
        whole = sum(word_width(shown[i], size) + 2 * pad for i in group)
        if lines[-1] and at + space + whole > width:
            lines.append([])
            at = 0.0
        elif lines[-1]:
            at += space
        for i in group:
            for text in _broken(shown[i], width - 2 * pad, size):
                needs = word_width(text, size) + 2 * pad
                if lines[-1] and at + needs > width:
                    lines.append([])
                    at = 0.0
                lines[-1].append(Piece(text, i, at, needs))
                at += needs
    if len(lines) > most:
        lines = lines[:most]
        last = lines[-1].pop()
        lines[-1].append(Piece("…", None, last.left, word_width("…", size) + 2 * pad))
    if right_to_left(row.words):
        return [[replace(piece, left=width - piece.left - piece.width) for piece in line] for line in lines]
    return lines


def _groups(row: WordRow) -> list[list[int]]:
    """Give the numbers of the words, those that are glued together in one group."""
    groups: list[list[int]] = []
    for i, glued in enumerate(row.glued):
        if glued and groups:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _broken(word: str, width: float, size: float) -> list[str]:
    """Give a word, or pieces of it that fit; accents stay with their letters."""
    if word_width(word, size) <= width:
        return [word]
    pieces = [""]
    for letter in word:
        alone = not unicodedata.combining(letter)
        if alone and pieces[-1] and word_width(pieces[-1] + letter, size) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
