"""`camscope.overlay`: any map on any photo, whoever made it."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from camscope import render
from camscope.arrays import Scale, check_scale, resize, scaled, to_numpy
from camscope.errors import InputError
from camscope.images import to_photo
from camscope.keywords import keywords
from camscope.results.figures.photos import with_its_colorbar


@keywords("camscope.overlay(photo, heatmap, {})")
def overlay(
    photo: Any,
    heatmap: Any,
    *,
    colormap: str = render.DEFAULT,
    opacity: float = 0.5,
    scale: Scale = "map",
    order: int = 1,
    colorbar: bool = False,
) -> Image.Image:
    """Lay a map of any origin and any size over a photo.

        camscope.overlay("photo.jpg", heatmap).save("overlay.png")
        camscope.overlay(image, attention, scale="signed", colorbar=True)

    The map is taken to cover the whole photo: it is stretched to its size, half-pixel, and then scaled. What an
    Explainer made is drawn by `e.overlay()`, which knows what the preprocessing has cropped.

    Args:
        photo: a path, a PIL image, an array `height width [channel]` of bytes or of values in [0, 1]; or a tensor
            `channel height width` of such.
        heatmap: `height width` of any size, an array or tensor of any library; axes of size 1 in front are left out.
            Truth values are a mask. NaN stands for what was not seen, and is grey.
        colormap: any name of the cmap catalogue.
        opacity: how much of the colours covers the photo, 0 (only the photo) to 1 (only the colours).
        scale: `map` stretches the map from its lowest to its highest value, `signed` symmetrically around zero,
            `(low, high)` between these values: `(0, 1)` for heatmaps that are meant as they are.
        order: of the spline through the cells of the map: 0 keeps them as squares, 1 is linear, 2 to 5 are smoother.
        colorbar: whether to attach a colour bar, with the map's own values at its ends.

    Returns:
        A new RGB image of the photo's size.

    Raises:
        ImageError: if the photo cannot be read.
        InputError: if the map is not one map, holds infinity, or an option is not valid.

    Example:
        >>> camscope.overlay("photo.jpg", np.eye(4)).size  # as large as the photo
        (451, 300)
    """
    check_scale(scale)
    picture = to_photo(_channels_last(photo)).pixels
    values = _one_map(heatmap)
    moved = resize(values[None, None], (picture.height, picture.width), order)
    heat = np.asarray(scaled(moved, scale)[0, 0])
    signed = scale == "signed"
    drawn = render.overlay(picture, heat, colormap=colormap, opacity=opacity, signed=signed)
    if not colorbar:
        return drawn
    seen = moved[np.isfinite(moved)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    if isinstance(scale, tuple):
        low, high = scale
    elif signed:
        low, high = -max(-low, high), max(-low, high)
    return with_its_colorbar(drawn, colormap, (f"{low:.3g}", f"{high:.3g}"), signed=signed)


def _channels_last(photo: Any) -> Any:
    """A photo as NumPy has it; of another library's array also with the channel first."""
    if isinstance(photo, np.ndarray) or not hasattr(photo, "dtype"):
        return photo
    pixels = to_numpy(photo)
    while pixels.ndim > 3 and pixels.shape[0] == 1:
        pixels = pixels[0]
    first = pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[2] not in (1, 3)
    return np.moveaxis(pixels, 0, 2) if first else pixels


def _one_map(heatmap: Any) -> np.ndarray:
    """The map as real numbers, `height width`.

    Raises:
        InputError: if it is not one map of such.
    """
    if not hasattr(heatmap, "dtype") and not isinstance(heatmap, (list, tuple)):
        hint = " Of an explanation it is e.overlay()." if hasattr(heatmap, "heatmaps") else ""
        raise InputError(f"A map is an array (height, width), not {type(heatmap).__name__}.{hint}")
    values = np.asarray(to_numpy(heatmap) if hasattr(heatmap, "dtype") else heatmap)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or not values.size:
        several = " These are several maps: give one of them, maps[0, 0] say." if values.ndim > 2 else ""
        raise InputError(f"A map has the shape (height, width); got {values.shape}.{several}")
    if values.dtype.kind not in "fiub":
        raise InputError(f"A map holds real numbers or truth values; got {values.dtype}.")
    values = values.astype(np.float64 if values.dtype == np.float64 else np.float32)
    if np.isinf(values).any():
        raise InputError(
            "The map holds infinity. Set such values to NaN, which is drawn grey, or to a number."
        )
    return values
