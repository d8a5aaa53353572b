"""The texts above one row of a figure of words or signals: a title, the numbers beside it, a note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from camscope.render.fitting import BASELINE, fit, height_of
from camscope.render.page import Page
from camscope.render.parts import Fonts
from camscope.render.surface import SOFT
from camscope.render.word_fonts import word_width


class Titled(Protocol):
    """A row of a figure with its texts."""

    @property
    def title(self) -> str:
        """The target, or the method."""

    @property
    def subtitle(self) -> str:
        """The numbers beside the title."""

    @property
    def note(self) -> str:
        """A status that a reader of this map should know."""


@dataclass(frozen=True)
class RowHeading:
    """The texts above a row of words, or of a signal.

    Attributes:
        title: The lines of the row's title.
        beside: The numbers beside the title; empty where there is no room for them.
        under: The lines under the title: the numbers, if there was no room beside it, and the note.
        fonts: The sizes of the texts.
    """

    title: list[str]
    beside: str
    under: list[str]
    fonts: Fonts

    @classmethod
    def of(cls, row: Titled, width: float, fonts: Fonts) -> RowHeading:
        """Fit the texts of a row to a width.

        Args:
            row: The row.
            width: The room for a line, in inches.
            fonts: The sizes of the texts.
        """
        title = fit(row.title, width, fonts.title, weight="bold")
        beside = row.subtitle
        if (
            title
            and word_width(title[-1], fonts.title, "bold") + word_width(f"  {beside}", fonts.small) > width
        ):
            beside = ""
        under = [
            *([] if beside else fit(row.subtitle, width, fonts.small)),
            *fit(row.note, width, fonts.small),
        ]
        return cls(title, beside, under, fonts)

    @property
    def height(self) -> float:
        """Height in inches; 0 if there is no text."""
        texts = height_of(len(self.title), self.fonts.title) + height_of(len(self.under), self.fonts.small)
        return texts + 0.03 * self.fonts.scale if texts else 0.0

    def draw(self, page: Page, left: float, top: float) -> None:
        """Write the texts.

        Args:
            page: Where to write.
            left: The left edge, in inches from the page's.
            top: The upper edge, in inches from the page's.
        """
        page.text(self.title, left, top, self.fonts.title, ha="left", va="top", weight="bold")
        if self.beside and self.title:
            right = left + word_width(self.title[-1], self.fonts.title, "bold") + 0.08 * self.fonts.scale
            down = top + height_of(len(self.title) - 1, self.fonts.title)
            down += BASELINE * (self.fonts.title - self.fonts.small) / 72  # so that both have one baseline
            page.text([self.beside], right, down, self.fonts.small, ha="left", va="top", colour=SOFT)
        under = top + height_of(len(self.title), self.fonts.title)
        page.text(self.under, left, under, self.fonts.small, ha="left", va="top", colour=SOFT)
