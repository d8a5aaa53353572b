"""Pictures of every PIL mode as 8-bit RGB. Values of more than 8 bits are scaled, not clipped."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, Shaped, UInt8
from PIL import Image

from camscope.errors import ImageError

WHITE = 255


def to_rgb(image: Image.Image, name: str) -> tuple[Image.Image, list[str]]:
    """Convert a decoded picture of any mode to ``RGB``.

    Transparency is shown on white; 16-bit grey is scaled (65535 becomes 255), as are floats in [0, 1].

    Args:
        image: the picture; it is not changed.
        name: what to call it in errors.

    Returns:
        The new picture, and notes about changes that a viewer should know of.

    Raises:
        ImageError: the picture has no pixels, or values that are neither 16-bit grey nor in [0, 1].
    """
    if 0 in image.size:
        raise ImageError(f"{name} has no pixels: it is {image.width} wide and {image.height} high.")
    if image.mode.startswith("I"):
        return _from_integers(image, name)
    if image.mode == "F":
        return _from_floats(image, name)
    if image.has_transparency_data:
        return _on_white(image)
    notes = ["CMYK converted to RGB"] if image.mode == "CMYK" else []
    return image.convert("RGB"), notes


def scale_16_to_8(values: Shaped[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Scale 0..65535 to 0..255 and round. The divisor is 257, so that 65535 becomes 255."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def on_white(rgba: Image.Image) -> tuple[Image.Image, list[str]]:
    """Lay an ``RGBA`` picture on white. There is a note unless every pixel is opaque."""
    paper = Image.new("RGBA", rgba.size, (WHITE, WHITE, WHITE, WHITE))
    opaque = rgba.getchannel("A").getextrema() == (255, 255)
    notes = [] if opaque else ["transparency shown on white"]
    return Image.alpha_composite(paper, rgba).convert("RGB"), notes


def _on_white(image: Image.Image) -> tuple[Image.Image, list[str]]:
    # Pillow converts premultiplied alpha only to the mode with the same colours: La to LA, RGBa to RGBA.
    straight = image.convert("LA") if image.mode == "La" else image
    return on_white(straight.convert("RGBA"))


def _from_integers(image: Image.Image, name: str) -> tuple[Image.Image, list[str]]:
    values: Int64[np.ndarray, "height width"] = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name} holds integers from {low} to {high}, expected grey values of 16 bits (0 to 65535). "
            "Scale them to 0..255 first and pass a uint8 array."
        )
    grey = scale_16_to_8(values)
    notes = ["16-bit scaled to 8-bit"]
    clear = image.info.get("transparency")
    if isinstance(clear, int) and (values == clear).any():
        grey = np.where(values == clear, np.uint8(WHITE), grey)
        notes.append("transparency shown on white")
    return Image.fromarray(grey).convert("RGB"), notes


def _from_floats(image: Image.Image, name: str) -> tuple[Image.Image, list[str]]:
    values = np.asarray(image)
    # If a value is NaN, both comparisons are false, so NaN is refused too.
    if not (values.min() >= 0 and values.max() <= 1):
        raise ImageError(
            f"{name} holds 32-bit floats from {values.min():g} to {values.max():g}, "
            "expected values in [0, 1]. Scale them first and pass the array."
        )
    return Image.fromarray(np.rint(values * 255).astype(np.uint8)).convert("RGB"), ["floats scaled to 8-bit"]
