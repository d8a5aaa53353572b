"""Coloured words as self-contained HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from camscope.render.colour import DEFAULT, lut
from camscope.render.word_rows import WordRow, hex_of, painted, words_colormap

_STOPS = 16
_TEXT = "line-height:1.9;overflow-wrap:anywhere;max-width:48em;margin:.15em 0 .2em"
_WORD = "padding:.12em .22em;border-radius:.2em"
_HEAD = "margin:.7em 0 0;font-weight:600"
_SOFT = "font-weight:400;opacity:.7;font-size:.85em"
_BAR = "display:inline-block;width:9em;height:.7em;margin:0 .5em;border-radius:.15em;vertical-align:middle"


def words_html(
    rows: Sequence[WordRow], *, colormap: str = DEFAULT, signed: bool = False, low: str = "", high: str = ""
) -> str:
    """Give rows of coloured words with a colour bar, as self-contained HTML.

    Everything that comes from a text is escaped. Browsers lay words out in the direction of their script.

    Args:
        rows: one row for each map.
        colormap: any name of the cmap catalogue.
        signed: whether 0.5 stands for zero in the values.
        low: what the lowest colour means.
        high: what the highest colour means.

    Raises:
        InputError: the values are not in [0, 1], or the colour map is unknown.
        MissingExtraError: cmap is not installed.
    """
    chosen = words_colormap(colormap, signed)
    body = "".join(_row(row, chosen) for row in rows)
    return f'<div style="font-family:sans-serif">{body}{_bar(chosen, low, high)}</div>'


def _row(row: WordRow, colormap: str) -> str:
    head = f"{escape(row.title)} <span style='{_SOFT}'>{escape(row.subtitle)}</span>"
    note = f'<div style="{_SOFT}">{escape(row.note)}</div>' if row.note else ""
    words = []
    for word, glued, (ground, ink) in zip(row.words, row.glued, painted(row.values, colormap), strict=True):
        style = f"{_WORD};background:{hex_of(ground)};color:{hex_of(ink)}"
        # a word joiner (U+2060) keeps glued words on one line
        words.append(f'{"&#8288;" if glued else " "}<span dir="auto" style="{style}">{escape(word)}</span>')
    return f'<div style="{_HEAD}">{head}</div>{note}<div dir="auto" style="{_TEXT}">{"".join(words)}</div>'


def _bar(colormap: str, low: str, high: str) -> str:
    table = lut(colormap)
    stops = [table[round(i * 255 / (_STOPS - 1))].tolist() for i in range(_STOPS)]
    ramp = ",".join(hex_of((r, g, b)) for r, g, b in stops)
    bar = f'<span style="{_BAR};background:linear-gradient(to right,{ramp})"></span>'
    ends = [f'<span style="{_SOFT}">{escape(end)}</span>' for end in (low, high)]
    return f'<div style="margin-top:.5em">{ends[0]}{bar}{ends[1]}</div>'
