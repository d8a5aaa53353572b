"""Masks as a page draws them, small and over the whole photo, at the pixels of the model's input."""

from __future__ import annotations

import base64
import binascii
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float

from camscope.app.serving.wishes import Grid, Mask
from camscope.errors import InputError
from camscope.images import Geometry
from camscope.signals import SignalGeometry

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
    mask: Float[np.ndarray, "rows columns"], geometry: Geometry | SignalGeometry
) -> tuple[Bool[np.ndarray, "*space"], Bool[np.ndarray, "*space"]]:
    """A mask of a photo, or of a sound's picture, at the places of the model's input, and which of them show it.

    Args:
        mask: over the whole picture. Of a sound it is over time, to the right, and over frequency, upwards; where the
            model is given no frequencies, a time is inside if the mask is at any height.
        geometry: where the photo or the sound lies in the input.
    """
    if isinstance(geometry, SignalGeometry):
        mask = mask[::-1].T if len(geometry.photo_size) > 1 else mask.max(0)
    places: list[np.ndarray] = []
    shown: list[np.ndarray] = []
    for axis in range(mask.ndim):
        along = (np.arange(geometry.input_size[axis]) + 0.5 - geometry.offset[axis]) / geometry.scale[axis]
        share = along / geometry.photo_size[axis]
        shown.append((share >= 0) & (share < 1))
        places.append(np.clip((share * mask.shape[axis]).astype(int), 0, mask.shape[axis] - 1))
    inside = mask[np.ix_(*places)] >= _INSIDE
    there = reduce(np.logical_and, np.meshgrid(*shown, indexing="ij", sparse=True))
    return inside & there, there
