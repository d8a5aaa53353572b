"""What stands around the content of every figure: its margin, its title and its caption."""

from __future__ import annotations

from dataclasses import dataclass

from camscope.render.fitting import fit
from camscope.render.page import SOFT, Page
from camscope.render.parts import Fonts, text_height

MARGIN = 0.08
"""The empty edge of every figure, in inches."""


@dataclass(frozen=True)
class Frame:
    """The title above and the caption under the content of a figure.

    Attributes:
        title: The lines of the title.
        caption: The lines of the caption.
        width: Of the figure, in inches.
        fonts: The sizes of the texts.
    """

    title: list[str]
    caption: list[str]
    width: float
    fonts: Fonts

    @classmethod
    def of(cls, title: str, caption: str, width: float, fonts: Fonts) -> Frame:
        """Fit title and caption to the width of a figure.

        Args:
            title: The text above everything.
            caption: The small text under everything.
            width: Of the figure, in inches.
            fonts: The sizes of the texts.
        """
        inside = width - 2 * MARGIN
        return cls(
            fit(title, inside, fonts.heading, weight="bold", lines=3),
            fit(caption, inside, fonts.small, lines=8),
            width,
            fonts,
        )

    @property
    def top(self) -> float:
        """Where the content begins, in inches from the top."""
        return MARGIN + text_height([self.title], self.fonts.heading, self.fonts.gap)

    def page(self, bottom: float) -> Page:
        """Give a page just high enough for content that ends at `bottom`, with title and caption written on it."""
        below = text_height([self.caption], self.fonts.small, self.fonts.gap)
        page = Page(self.width, bottom + below + MARGIN)
        page.text(self.title, self.width / 2, MARGIN, self.fonts.heading, va="top", weight="bold")
        caption_top = bottom + self.fonts.gap
        page.text(self.caption, MARGIN, caption_top, self.fonts.small, ha="left", va="top", colour=SOFT)
        return page
