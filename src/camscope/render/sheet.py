"""A picture addressed in inches from its top left corner: what a figure of panels is drawn on without matplotlib.

It takes a tenth of matplotlib's time and shows the same, in matplotlib's font.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from camscope.errors import MissingExtraError
from camscope.render.fitting import BASELINE, LINE, Measure, height_of
from camscope.render.layout import Cell
from camscope.render.surface import INK

_FRAME, _STROKE, _GROUND = (0, 0, 0, 74), (0, 0, 0, 166), (0, 0, 0, 179)
_ENLARGED = 3
"""A photo that is enlarged by this much shows its pixels as squares; one that is enlarged less is made smooth."""


class Sheet:
    """A white RGB picture that a figure is drawn on; see `camscope.render.surface.Surface`.

    Args:
        width: In inches.
        height: In inches.
        dpi: Pixels per inch.
    """

    def __init__(self, width: float, height: float, dpi: float) -> None:
        self.dpi = dpi
        self.image = Image.new("RGB", (int(width * dpi), int(height * dpi)), "white")
        self._draw = ImageDraw.Draw(self.image, "RGBA")  # colours that let through what is under them

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
        """Write lines of text; see `Surface.text`."""
        start = -height_of(len(lines), size) * {"top": 0.0, "center": 0.5, "bottom": 1.0}[va]
        font = _font(size * self.dpi / 72, weight)
        for number, line in enumerate(lines):
            down = start + (number * LINE + BASELINE) * size / 72
            if upright:
                self._write_upwards(line, left + down, top, font, colour)
            else:
                at = (left * self.dpi, (top + down) * self.dpi)
                self._draw.text(at, line, colour, font, {"left": "ls", "center": "ms", "right": "rs"}[ha])

    def _write_upwards(
        self, line: str, baseline: float, middle: float, font: ImageFont.FreeTypeFont, colour: str
    ) -> None:
        """Write a line that runs upwards around its middle."""
        ascent, descent = font.getmetrics()
        ink = Image.new("L", (max(1, round(font.getlength(line))), ascent + descent))
        ImageDraw.Draw(ink).text((0, ascent), line, 255, font, "ls")
        turned = ink.transpose(Image.Transpose.ROTATE_90)
        corner = (round(baseline * self.dpi) - ascent, round(middle * self.dpi - turned.height / 2))
        self.image.paste(colour, corner, turned)

    def pixels(self, cell: Cell) -> tuple[int, int]:
        """Give the (width, height) of a cell in pixels."""
        left, top, right, bottom = self._edges(cell)
        return right - left, bottom - top

    def panel(
        self,
        cell: Cell,
        picture: Image.Image,
        photo: tuple[int, int],
        boxes: Sequence[tuple[int, int, int, int]],
        note: Sequence[str],
        size: float,
    ) -> None:
        """Draw a picture in a cell; see `Surface.panel`."""
        left, top, right, bottom = self._edges(cell)
        wide, high = right - left, bottom - top
        if picture.size != (wide, high):
            squares = min(wide / picture.width, high / picture.height) >= _ENLARGED
            picture = picture.resize(
                (wide, high), Image.Resampling.NEAREST if squares else Image.Resampling.BICUBIC
            )
        self.image.paste(picture, (left, top))
        self._draw.rectangle((left, top, right - 1, bottom - 1), outline=_FRAME)
        across, down = wide / photo[0], high / photo[1]
        for x0, y0, x1, y1 in boxes:
            self._outline(left + x0 * across, top + y0 * down, left + x1 * across, top + y1 * down)
        if note:
            self._note(note, (left + right) / 2, bottom, size)

    def ramp(self, cell: Cell, colours: UInt8[np.ndarray, "levels 3"]) -> None:
        """Fill a cell with colours, the first at the bottom."""
        column = Image.fromarray(np.ascontiguousarray(colours[::-1, None]))
        smooth = column.resize(self.pixels(cell), Image.Resampling.BILINEAR)
        self.panel(cell, smooth, smooth.size, (), (), 0)

    def _edges(self, cell: Cell) -> tuple[int, int, int, int]:
        """The left, top, right and bottom edge of a cell in pixels, with at least one pixel in it."""
        left, top = round(cell.left * self.dpi), round(cell.top * self.dpi)
        # cells of one size have as many pixels wherever they are
        width, height = (max(1, round(inches * self.dpi)) for inches in (cell.width, cell.height))
        return left, top, left + width, top + height

    def _outline(self, left: float, top: float, right: float, bottom: float) -> None:
        """A white line on a dark stroke, which shows on every photo and every colour map."""
        for points, colour in ((2.6, _STROKE), (1.3, (255, 255, 255, 255))):
            line = max(1, round(points * self.dpi / 72))
            out = line // 2
            corners = (round(left) - out, round(top) - out, round(right) + out, round(bottom) + out)
            self._draw.rectangle(corners, outline=colour, width=line)

    def _note(self, lines: Sequence[str], centre: float, bottom: float, size: float) -> None:
        font = _font(size * self.dpi / 72, "normal")
        pad = size / 120 * self.dpi
        half = max(map(font.getlength, lines)) / 2 + pad
        top = bottom - 2 * pad - height_of(len(lines), size) * self.dpi
        self._draw.rounded_rectangle((centre - half, top - pad, centre + half, bottom - pad), pad, _GROUND)
        for number, line in enumerate(lines):
            baseline = top + (number * LINE + BASELINE) * size / 72 * self.dpi
            self._draw.text((centre, baseline), line, "white", font, "ms")


def measure_at(dpi: float) -> Measure:
    """Give what measures texts as a sheet of this resolution draws them."""

    def width(text: str, size: float, weight: str = "normal") -> float:
        return _font(size * dpi / 72, weight).getlength(text) / dpi

    return width


@lru_cache(maxsize=64)
def _font(pixels: float, weight: str) -> ImageFont.FreeTypeFont:
    file = "DejaVuSans-Bold.ttf" if weight == "bold" else "DejaVuSans.ttf"
    return ImageFont.truetype(str(_fonts() / file), pixels, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1)
def _fonts() -> Path:
    """The folder of the fonts that come with matplotlib, which is found and not imported."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or not found.origin:
        raise MissingExtraError("figures", "plot")
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
