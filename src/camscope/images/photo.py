"""A photo in the form that all other rooms get it in: upright, 8 bits, RGB."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Photo:
    """An upright 8-bit RGB picture, where it came from, and what was done to get it into that form.

    Attributes:
        pixels: the picture, always of PIL mode ``RGB``.
        source: the path (or ``sample:NAME``) as it was given; None for a picture that was in memory.
        notes: changes that a viewer should know of, such as ``"first of 12 frames"``.
    """

    pixels: Image.Image
    source: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels. PIL's own ``size`` is (width, height)."""
        return self.pixels.height, self.pixels.width
