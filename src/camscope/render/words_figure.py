"""Coloured words as a figure for a paper: lines of words on their colours, a row for each map, one colour bar."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from camscope.errors import InputError
from camscope.render.colour import DEFAULT
from camscope.render.fitting import BASELINE, fit, height_of
from camscope.render.page import PLAIN, SOFT, Page, require_matplotlib
from camscope.render.parts import Bar, Fonts, text_height
from camscope.render.word_rows import WordRow, hex_of, painted, right_to_left, words_colormap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARGIN = 0.08
_LEADING = 1.75
"""From one line of words to the next, in font sizes."""
_GROUND = 1.45
"""Height of a word's colour, in font sizes."""
_MISSING = "▯"
# Fonts that hold what the usual one lacks, tried in this order if they are installed.
_FALLBACK = (
    "Noto Sans", "Noto Emoji", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Devanagari", "Noto Sans Thai",
    "Noto Naskh Arabic", "Segoe UI", "Segoe UI Emoji", "Microsoft YaHei", "Arial Unicode MS", "PingFang SC",
    "Apple Symbols", "WenQuanYi Zen Hei", "Symbola",
)  # fmt: skip


@dataclass(frozen=True)
class _Piece:
    """A word, or a part of one that is longer than a line, in its place on a line."""

    text: str
    word: int
    left: float
    width: float
    opens: bool
    closes: bool


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
    """Draw rows of coloured words, exactly as high as they are.

    Scripts from right to left run so. A character that no installed font has is drawn as ▯.

    Args:
        rows: one for each map; their texts may differ.
        title: above everything.
        caption: small, under everything.
        colormap: any name of the cmap catalogue; the default is pale at zero.
        signed: in the values 0.5 stands for zero.
        colorbar_label: what the colours mean.
        width: of the figure, in inches; 6.3 is the text of an A4 page, 3.3 a column.
        font_size: of the words, in points.
        low: what stands at the bottom of the colour bar; None: "0", or "−1" if signed.
        high: what stands at its top; None: "1".
        most_lines: of one row; what is longer is cut, and an ellipsis says so.

    Raises:
        InputError: no rows, a width that holds no word.
        MissingExtraError: matplotlib or cmap is not installed.
    """
    require_matplotlib()
    if not rows:
        raise InputError("a figure of words needs at least one row.")
    if not width >= 1.5:
        raise InputError(f"width must be at least 1.5 inches, or no word fits; got {width}.")
    chosen = words_colormap(colormap, signed)
    fonts = Fonts(min(1.5, max(0.75, font_size / 10)))
    gap = 0.09 * fonts.scale
    lowest = "−1" if signed else "0"
    ticks = (lowest if low is None else low, "0" if signed else "", "1" if high is None else high)
    # its width depends on its label's lines, which depend on its height: measured at the least height
    aside = Bar.of(0.8, ticks, colorbar_label, fonts).width + 1.5 * gap
    text_width = width - 2 * _MARGIN - aside
    laid = [_laid(row, text_width, font_size, most_lines) for row in rows]
    heads = [_Head.of(row, text_width, fonts) for row in rows]

    title_lines = fit(title, width - 2 * _MARGIN, fonts.heading, weight="bold", lines=3)
    caption_lines = fit(caption, width - 2 * _MARGIN, fonts.small, lines=8)
    top = _MARGIN + text_height([title_lines], fonts.heading, gap)
    step = _LEADING * font_size / 72
    heights = [head.height + len(lines) * step for head, lines in zip(heads, laid, strict=True)]
    between = 1.2 * gap
    body = max(sum(heights) + between * (len(rows) - 1), 0.8)
    page = Page(width, top + body + text_height([caption_lines], fonts.small, gap) + _MARGIN)
    page.text(title_lines, width / 2, _MARGIN, fonts.heading, va="top", weight="bold")
    at = top
    for row, head, lines, height in zip(rows, heads, laid, heights, strict=True):
        head.draw(page, _MARGIN, at)
        colours = painted(row.values, chosen)
        for number, line in enumerate(lines):
            _draw_line(page, line, colours, at + head.height + number * step, font_size)
        at += height + between
    bar = Bar.of(min(body, 2.2), ticks, colorbar_label, fonts)
    bar.draw(page, width - _MARGIN - aside + 1.5 * gap, top + (body - bar.height) / 2, chosen)
    page.text(caption_lines, _MARGIN, top + body + gap, fonts.small, ha="left", va="top", colour=SOFT)
    return page.figure


@dataclass(frozen=True)
class _Head:
    """The title of a row, its numbers beside it or under it, and its note."""

    title: list[str]
    beside: str
    under: list[str]
    fonts: Fonts

    @classmethod
    def of(cls, row: WordRow, width: float, fonts: Fonts) -> _Head:
        title = fit(row.title, width, fonts.title, weight="bold")
        beside = row.subtitle
        if title and _width(title[-1], fonts.title, "bold") + _width(f"  {beside}", fonts.small) > width:
            beside = ""
        under = [
            *([] if beside else fit(row.subtitle, width, fonts.small)),
            *fit(row.note, width, fonts.small),
        ]
        return cls(title, beside, under, fonts)

    @property
    def height(self) -> float:
        texts = height_of(len(self.title), self.fonts.title) + height_of(len(self.under), self.fonts.small)
        return texts + 0.03 * self.fonts.scale if texts else 0.0

    def draw(self, page: Page, left: float, top: float) -> None:
        page.text(self.title, left, top, self.fonts.title, ha="left", va="top", weight="bold")
        if self.beside and self.title:
            right = left + _width(self.title[-1], self.fonts.title, "bold") + 0.08 * self.fonts.scale
            down = top + height_of(len(self.title) - 1, self.fonts.title)
            level = down + BASELINE * (self.fonts.title - self.fonts.small) / 72
            page.text([self.beside], right, level, self.fonts.small, ha="left", va="top", colour=SOFT)
        under = top + height_of(len(self.title), self.fonts.title)
        page.text(self.under, left, under, self.fonts.small, ha="left", va="top", colour=SOFT)


def _laid(row: WordRow, width: float, size: float, most: int) -> list[list[_Piece]]:
    """Words in lines. A word longer than a line is broken; glued words move to the next line together if they fit."""
    pad = 0.22 * size / 72
    space = 0.14 * size / 72
    groups: list[list[int]] = []
    for i, glued in enumerate(row.glued):
        if glued and groups:
            groups[-1].append(i)
        else:
            groups.append([i])
    lines: list[list[_Piece]] = [[]]
    at = 0.0
    shown = [_drawable(word) for word in row.words]
    for group in groups:
        whole = sum(_width(shown[i], size) + 2 * pad for i in group)
        if lines[-1] and at + space + whole > width:
            lines.append([])
            at = 0.0
        elif lines[-1]:
            at += space
        for i in group:
            pieces = _broken(shown[i], width - 2 * pad, size)
            for number, text in enumerate(pieces):
                needs = _width(text, size) + 2 * pad
                if lines[-1] and at + needs > width:
                    lines.append([])
                    at = 0.0
                opens, closes = number == 0, number == len(pieces) - 1
                lines[-1].append(_Piece(text, i, at, needs, opens, closes))
                at += needs
    if len(lines) > most:
        lines = lines[:most]
        last = lines[-1].pop()
        lines[-1].append(_Piece("…", -1, last.left, _width("…", size) + 2 * pad, True, True))
    if right_to_left(row.words):
        lines = [[_mirrored(piece, width) for piece in line] for line in lines]
    return lines


def _mirrored(piece: _Piece, width: float) -> _Piece:
    return _Piece(
        piece.text, piece.word, width - piece.left - piece.width, piece.width, piece.closes, piece.opens
    )


def _broken(word: str, width: float, size: float) -> list[str]:
    """A word, or pieces of it that fit; accents stay with their letters."""
    if _width(word, size) <= width:
        return [word]
    pieces = [""]
    for letter in word:
        alone = not unicodedata.combining(letter)
        if alone and pieces[-1] and _width(pieces[-1] + letter, size) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _draw_line(page: Page, line: Sequence[_Piece], colours: Sequence[Any], top: float, size: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    height = _GROUND * size / 72
    middle = top + _LEADING * size / 144
    for piece in line:
        ink = "#666666"
        left, right = _MARGIN + piece.left, _MARGIN + piece.left + piece.width
        if piece.word >= 0:
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
            _visual(piece.text),
            ha="center",
            va="baseline",
            color=ink,
            fontsize=size,
            family=list(_families()),
            **PLAIN,
        )


# ------------------------------------------------------------------ fonts


@lru_cache(maxsize=1)
def _families() -> tuple[str, ...]:
    """Matplotlib's own font, then those installed that hold more."""
    from matplotlib import font_manager, rcParams

    installed = set(font_manager.get_font_names())
    own = [name for name in rcParams["font.sans-serif"] if name in installed][:1]
    return (*own, *(name for name in _FALLBACK if name in installed))


@lru_cache(maxsize=1)
def _fonts() -> tuple[Any, ...]:
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    found = (font_manager.findfont(font_manager.FontProperties(family=name)) for name in _families())
    return tuple(FT2Font(path) for path in found)


def _drawable(word: str) -> str:
    """What fonts have of a word; marks that only join or vary characters go without a trace."""
    kept = []
    for letter in word:
        if any(font.get_char_index(ord(letter)) for font in _fonts()):
            kept.append(letter)
        elif unicodedata.category(letter) not in ("Cf", "Mn", "Cc"):
            kept.append(_MISSING)
    return "".join(kept) or _MISSING


def _visual(text: str) -> str:
    """As it is drawn: matplotlib before 3.11 sets every script from left to right."""
    from matplotlib import __version_info__

    backwards = __version_info__ < (3, 11) and right_to_left([text])
    return text[::-1] if backwards else text


@lru_cache(maxsize=8192)
def _width(text: str, size: float, weight: str = "normal") -> float:
    """The width in inches of a line of text, in the fonts that words are drawn in."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    agg: Any = RendererAgg  # matplotlib leaves it untyped
    renderer = agg(1, 1, 288)
    properties = FontProperties(family=list(_families()), size=size, weight=weight)
    width, _, _ = renderer.get_text_width_height_descent(text, properties, False)
    return float(width) / 288
