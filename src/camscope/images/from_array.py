"""NumPy arrays as pictures. The meaning of an array is never guessed: a doubtful array is refused."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from camscope.errors import InputError
from camscope.images.modes import on_white, scale_16_to_8

_CHANNELS = (1, 3, 4)


def array_to_rgb(array: Shaped[np.ndarray, "height width *channels"]) -> tuple[Image.Image, list[str]]:
    """Turn an array into an ``RGB`` picture.

    Args:
        array: (height, width) grey, or (height, width, channels) with 1 (grey), 3 (RGB) or 4 (RGBA, shown on
            white) channels; uint8, uint16 (scaled), bool (black and white) or float in [0, 1].

    Returns:
        The picture, and notes about what was changed.

    Raises:
        InputError: the shape, the type or the values are none of these.
    """
    _check_shape(array.shape)
    values, notes = _to_uint8(array)
    if values.ndim == 2 or values.shape[2] == 1:
        return Image.fromarray(values.reshape(values.shape[:2])).convert("RGB"), notes
    if values.shape[2] == 4:
        picture, more = on_white(Image.fromarray(values))
        return picture, notes + more
    return Image.fromarray(values), notes


def _check_shape(shape: tuple[int, ...]) -> None:
    expected = "expected (height, width) or (height, width, channels) with 1, 3 or 4 channels."
    if 0 in shape:
        raise InputError(f"The photo has no pixels: its shape is {shape}; {expected}")
    if len(shape) == 4:
        raise InputError(
            f"The photo has shape {shape}, which looks like a batch; {expected} Pass one at a time."
        )
    if len(shape) not in (2, 3):
        raise InputError(f"The photo has {len(shape)} dimensions, shape {shape}; {expected}")
    if len(shape) == 3 and shape[2] not in _CHANNELS:
        remedy = ""
        if shape[0] in _CHANNELS:
            remedy = (
                " Its channels come first: pass np.moveaxis(photo, 0, -1); or, if it was prepared for the model, "
                "a tensor with a batch axis: torch.from_numpy(photo)[None], or photo[None] without PyTorch."
            )
        raise InputError(f"The photo has shape {shape}; {expected}{remedy}")


def _to_uint8(array: np.ndarray) -> tuple[UInt8[np.ndarray, "*shape"], list[str]]:
    if array.dtype == np.uint8:
        return array, []
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255), []
    if array.dtype.newbyteorder("=") == np.uint16:
        return scale_16_to_8(array), ["16-bit scaled to 8-bit"]
    if np.issubdtype(array.dtype, np.floating):
        _check_floats(float(array.min()), float(array.max()))
        return np.rint(array * 255).astype(np.uint8), []
    raise InputError(
        f"The photo has dtype {array.dtype}, expected uint8 (0 to 255), uint16, bool or float (0 to 1). "
        "If its values are 0 to 255, pass photo.astype(np.uint8)."
    )


def _check_floats(low: float, high: float) -> None:
    # If the array holds a NaN, NumPy's min and max are NaN, and both comparisons are false.
    if low >= 0 and high <= 1:
        return
    if np.isnan(low):
        remedy = "Replace its NaNs first, e.g. with np.nan_to_num."
    elif low < 0:
        remedy = (
            "If it is already normalised for the model, undo that with Preprocessing.denormalise, or give it as a "
            "tensor with a batch axis."
        )
    else:
        remedy = "If its values are 0 to 255, divide by 255 or pass photo.astype(np.uint8)."
    raise InputError(
        f"The photo is a float array from {low:g} to {high:g}, expected values in [0, 1]. {remedy}"
    )
