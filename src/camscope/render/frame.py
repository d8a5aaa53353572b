"""What stands around the content of every figure: its margin, its title and its caption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from camscope.render.page import Page
from camscope.render.parts import Fonts, text_height
from camscope.render.surface import SOFT, Surface

S = TypeVar("S", bound=Surface)

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
            fonts.fit(title, inside, fonts.heading, weight="bold", lines=3),
            fonts.fit(caption, inside, fonts.small, lines=8),
            width,
            fonts,
        )

    @property
    def top(self) -> float:
        """Where the content begins, in inches from the top."""
        return MARGIN + text_height([self.title], self.fonts.heading, self.fonts.gap)

    def page(self, bottom: float) -> Page:
        """Give a matplotlib page; see `drawn_on`."""
        return self.drawn_on(Page, bottom)

    def drawn_on(self, make: Callable[[float, float], S], bottom: float) -> S:
        """Give a surface just high enough for content that ends at `bottom`, with title and caption written on it.

        Args:
            make: Makes the surface, of a width and a height in inches.
            bottom: Where the content ends, in inches from the top.
        """
        below = text_height([self.caption], self.fonts.small, self.fonts.gap)
        surface = make(self.width, bottom + below + MARGIN)
        surface.text(self.title, self.width / 2, MARGIN, self.fonts.heading, va="top", weight="bold")
        caption_top = bottom + self.fonts.gap
        surface.text(self.caption, MARGIN, caption_top, self.fonts.small, ha="left", va="top", colour=SOFT)
        return surface
