"""Masks as a page draws them, small and over the whole photo, at the pixels of the model's input."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from camscope.app.serving.wishes import Grid, Mask
from camscope.errors import InputError
from camscope.images import Geometry

_INSIDE = 0.5


def drawn(mask: Mask) -> Float[np.ndarray, "height width"]:
    """A mask of a request as an array.

    Args:
        mask: as it was sent.

    Raises:
        InputError: if its rows differ in length, a value is none of 0 … 1, or there are not as many bytes as places.
    """
    if isinstance(mask, Grid):
        return _of_bytes(mask)
    lengths = {len(row) for row in mask}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(
            f"The mask has {len(mask)} rows of {', '.join(map(str, sorted(lengths))) or 'no'} values: expected rows of "
            "one length, each value 0 … 1."
        )
    values = np.asarray(mask, np.float64)
    if not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"The mask has values from {values.min():g} to {values.max():g}: expected 0 … 1, 1 is inside."
        )
    return values


def _of_bytes(mask: Grid) -> Float[np.ndarray, "height width"]:
    height, width = mask.shape
    try:
        content = base64.b64decode(mask.values, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"The values of the mask are no base64: {error}.") from error
    if len(content) != height * width:
        raise InputError(
            f"The mask of {height} × {width} has {len(content)} bytes: expected {height * width}, one for each "
            "place, 0 … 255."
        )
    return np.frombuffer(content, np.uint8).reshape(height, width) / 255.0


def on_input(
    mask: Float[np.ndarray, "rows columns"], geometry: Geometry
) -> tuple[Bool[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]:
    """A mask of a photo at the pixels of the model's input, and which of them show the photo.

    Args:
        mask: over the whole photo.
        geometry: where the photo lies in the input.
    """
    places: list[Any] = []
    shown: list[Any] = []
    for axis in range(2):
        along = (np.arange(geometry.input_size[axis]) + 0.5 - geometry.offset[axis]) / geometry.scale[axis]
        share = along / geometry.photo_size[axis]
        shown.append((share >= 0) & (share < 1))
        places.append(np.clip((share * mask.shape[axis]).astype(int), 0, mask.shape[axis] - 1))
    inside = mask[np.ix_(*places)] >= _INSIDE
    photo = shown[0][:, None] & shown[1][None, :]
    return inside & photo, photo
