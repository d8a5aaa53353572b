"""A heatmap laid over a photo, and the colour bar that explains it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw, ImageFont

from camscope.errors import InputError
from camscope.render.colour import DEFAULT, colours, lut, resolve
from camscope.render.rgb import Photo, as_rgb

_INK = (38, 38, 38)
_FRAME = (235, 235, 235)


def overlay(
    image: Photo,
    heatmap: Float[np.ndarray, "height width"],
    *,
    colormap: str = DEFAULT,
    opacity: float = 0.5,
    signed: bool = False,
) -> Image.Image:
    """Lay a heatmap over a photo.

    The heatmap is NaN wherever the model did not see the photo. There the photo is shown grey and dark, and a
    thin frame is drawn around the part that the model saw.

    Args:
        image: PIL image, or RGB or grey array: uint8, or floating point in [0, 1]. `height width [3]`.
        heatmap: Numbers in [0, 1], or NaN, at the photo's size.
        colormap: Any name of the cmap catalogue.
        opacity: How much of the colours covers the photo, 0 (only the photo) to 1 (only the colours).
        signed: Whether 0.5 stands for zero; then `DIVERGING` replaces `DEFAULT` as `colormap`.

    Returns:
        A new RGB image of the photo's size.

    Raises:
        InputError: Sizes differ, numbers are out of range, or the colour map is unknown.
        MissingExtraError: cmap is not installed.
    """
    photo = as_rgb(image)
    if not 0 <= opacity <= 1:
        raise InputError(
            f"opacity must lie between 0 (only the photo) and 1 (only the colours); got {opacity}."
        )
    check_size(photo.size, heatmap)
    unseen = np.isnan(heatmap)
    partial = bool(unseen.any())
    values = np.where(unseen, heatmap.dtype.type(0), heatmap) if partial else heatmap
    blended = Image.blend(photo, Image.fromarray(colours(values, resolve(colormap, signed))), opacity)
    if partial:
        blended.paste(_quiet(photo), mask=Image.fromarray(unseen.view(np.uint8) * np.uint8(255)))
        _frame(blended, ~unseen)
    return blended


def check_size(size: tuple[int, int], heatmap: Float[np.ndarray, "height width"]) -> None:
    """Raise InputError unless a heatmap is a floating-point array of the photo's (width, height)."""
    if not isinstance(heatmap, np.ndarray) or not np.issubdtype(heatmap.dtype, np.floating):
        found = heatmap.dtype if isinstance(heatmap, np.ndarray) else type(heatmap).__name__
        raise InputError(f"heatmap must be a floating-point NumPy array; got {found}.")
    width, height = size
    if heatmap.shape != (height, width):
        raise InputError(
            f"heatmap and image must have the same size: the heatmap has shape {heatmap.shape}, the image is"
            f" {height} high and {width} wide. Resize the heatmap to the image first."
        )


def _quiet(photo: Image.Image) -> Image.Image:
    # Grey and dark, so that nobody takes it for a low value, yet recognisable, so that the crop's place is seen.
    return photo.convert("L").point([20 + level * 2 // 5 for level in range(256)]).convert("RGB")


def _frame(picture: Image.Image, seen: Bool[np.ndarray, "height width"]) -> None:
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not rows.size:
        return
    thick = max(1, round(min(picture.size) / 300))
    left, top, right, bottom = (int(edge) for edge in (columns[0], rows[0], columns[-1], rows[-1]))
    outside = (left - thick, top - thick, right + thick, bottom + thick)
    ImageDraw.Draw(picture).rectangle(outside, outline=_FRAME, width=thick)


def with_colorbar(
    image: Photo,
    colormap: str = DEFAULT,
    *,
    low: str = "0",
    high: str = "1",
    middle: str = "",
    label: str | None = None,
) -> Image.Image:
    """Attach a slim colour bar at the right of a picture, on white; everything scales with the picture.

    Args:
        image: The picture, usually an overlay.
        colormap: The colour map the overlay was made with.
        low: The text at the bottom of the bar.
        high: The text at its top.
        middle: The text half-way, such as "0" for signed values.
        label: What the colours mean, written along the bar; shortened if it is longer than the bar.

    Returns:
        A new RGB image of the same height, the picture unchanged at its left.

    Raises:
        InputError: The image or the colour map is not valid.
        MissingExtraError: cmap is not installed.
    """
    picture = as_rgb(image)
    height = picture.height
    font = ImageFont.load_default(max(11.0, height / 24))
    # Every distance is measured in ems, so that the bar looks the same on a thumbnail and on a large photo.
    em = round(font.size) if isinstance(font, ImageFont.FreeTypeFont) else 10
    bottom, centre, top = (_written(text, font) for text in (low, middle, high))
    label_strip = _written(_shortened(label, font, height), font).rotate(90, expand=True) if label else None
    bar_left = picture.width + em // 2
    ticks_left = bar_left + em + em // 2
    ticks_right = ticks_left + max(bottom.width, centre.width, top.width)
    label_left = ticks_right + em // 3
    width = (label_left + label_strip.width if label_strip else ticks_right) + em // 3

    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(picture)
    ramp = Image.fromarray(np.ascontiguousarray(lut(colormap)[::-1, None])).resize(
        (em, height), Image.Resampling.BILINEAR
    )
    sheet.paste(ramp, (bar_left, 0))
    for text, share in ((top, 0.0), (centre, 0.5), (bottom, 1.0)):
        sheet.paste(text, (ticks_left, round((height - text.height) * share)))
    if label_strip:
        sheet.paste(label_strip, (label_left, (height - label_strip.height) // 2))
    return sheet


def _written(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """Give a text on white, cropped to its ink."""
    text = text.replace("−", "-")  # Pillow's font has no minus sign
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    strip = Image.new("RGB", (max(1, right - left), max(1, bottom - top)), "white")
    ImageDraw.Draw(strip).text((-left, -top), text, fill=_INK, font=font)
    return strip


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, length: int) -> str:
    if font.getlength(text) <= length:
        return text
    while text and font.getlength(text + "…") > length:
        text = text[:-1].rstrip()
    return text + "…"
