"""Photos in any form, as RGB pictures."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from camscope.errors import InputError

Photo = (
    Image.Image
    | UInt8[np.ndarray, "height width 3"]
    | UInt8[np.ndarray, "height width"]
    | Float[np.ndarray, "height width 3"]
    | Float[np.ndarray, "height width"]
)


def as_rgb(image: Photo) -> Image.Image:
    """Give a photo as a PIL image of mode RGB; the input is never changed.

    Args:
        image: A PIL image, or an RGB or grey array: uint8, or floating point in [0, 1].

    Raises:
        InputError: The type, shape, number type or range is another; the message says what to change.
    """
    if isinstance(image, Image.Image):
        if image.mode.startswith(("I", "F")):
            raise InputError(f"image has mode {image.mode!r} (more than 8 bits); scale it to 8 bits first.")
        return image if image.mode == "RGB" else image.convert("RGB")
    if not isinstance(image, np.ndarray):
        raise InputError(f"image must be a PIL image or a NumPy array; got {type(image).__name__}.")
    if not image.size or (image.ndim != 2 and image.shape[2:] != (3,)):
        swap = image.ndim == 3 and image.shape[0] in (1, 3)
        hint = " Channels come last here: image.transpose(1, 2, 0)." if swap else ""
        raise InputError(
            f"image must have shape (height, width, 3) or (height, width); got {image.shape}.{hint}"
        )
    if np.issubdtype(image.dtype, np.floating):
        image = _bytes_of(image)
    if image.dtype != np.uint8:
        raise InputError(f"image must be uint8, or floating point in [0, 1]; got {image.dtype}.")
    return Image.fromarray(image).convert("RGB")


def _bytes_of(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also true for NaN
        raise InputError(
            f"a floating-point image must be finite and in [0, 1]; got {low:.4g} to {high:.4g}."
            " Undo the model's normalisation first, or divide by 255."
        )
    scaled: Float[np.ndarray, "*shape"] = np.multiply(
        image, np.float32(255), dtype=np.float32, casting="same_kind"
    )
    scaled += np.float32(0.5)
    rounded: UInt8[np.ndarray, "*shape"] = scaled.astype(np.uint8)
    return rounded
