"""What figures are drawn on: a matplotlib figure (`Page`) or a picture (`Sheet`), addressed in inches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from camscope.render.layout import Cell

INK, SOFT = "#1c1c1c", "#666666"


class Surface(Protocol):
    """Something empty and white of a given size. Inches are counted from its top left corner."""

    def text(
        self,
        lines: Sequence[str],
        left: float,
        top: float,
        size: float,
        *,
        ha: Literal["left", "center", "right"] = "center",
        va: Literal["top", "center", "bottom"] = "bottom",
        colour: str = INK,
        weight: str = "normal",
        upright: bool = False,
    ) -> None:
        """Write lines of text, each on its own baseline, so that texts side by side stay level.

        Args:
            lines: The lines, from top to bottom.
            left: Where the block stands, in inches from the left edge; `ha` says which point of the block.
            top: Likewise, in inches from the top edge; `va` says which point of the block.
            size: The font size, in points.
            ha: Whether `left` is the block's left edge, its centre or its right edge.
            va: Whether `top` is the block's top edge, its centre or its bottom edge.
            colour: Of the text.
            weight: `normal` or `bold`.
            upright: Turn the block so that its lines run upwards.
        """

    def pixels(self, cell: Cell) -> tuple[int, int]:
        """Give the (width, height) in pixels beyond which a picture in this cell gains nothing."""

    def panel(
        self,
        cell: Cell,
        picture: Image.Image,
        photo: tuple[int, int],
        boxes: Sequence[tuple[int, int, int, int]],
        note: Sequence[str],
        size: float,
    ) -> None:
        """Draw a picture in a cell; a thin line sets white photos off from the white ground.

        Args:
            cell: The rectangle to fill.
            picture: RGB.
            photo: The width and height of what it is a picture of.
            boxes: What to outline, in pixels of the photo: (x0, y0, x1, y1).
            note: Lines of text in the picture, on a dark ground at its lower edge.
            size: Of the note, in points.
        """

    def ramp(self, cell: Cell, colours: UInt8[np.ndarray, "levels 3"]) -> None:
        """Fill a cell with colours, the first at the bottom."""
