"""From the bytes of a photo to the model's input in a fraction of the time, and nearly the same.

What is spared is work on pixels that the model does not see: what the crop cuts off is not resized, and a JPEG file
that is much larger than the model's input is decoded at a half, a quarter or an eighth of its sides, which costs its
decoder a fraction. Both are held against the plain way by whoever takes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32
from PIL import Image

from camscope.errors import ImageError
from camscope.images.preprocess import Preprocessing
from camscope.images.read import UPRIGHT, decoded, opened_bytes, orientation, upright_size

Quick: TypeAlias = Literal["", "cropped", "reduced"]
"""What is spared: nothing; what the crop cuts off; and decoding whole what is much larger than the input."""

ENOUGH = 2
"""So many pixels along each side are decoded at least for each of the resized photo."""

_SCALES = (8, 4, 2)
"""At one of so many of its pixels a JPEG file can be decoded."""

_JPEG = ("JPEG", "MPO")


@dataclass(frozen=True, eq=False)
class QuickPhoto:
    """A photo that was read the quick way.

    Attributes:
        size: its own (height, width), in pixels.
        notes: see `Photo`.
        prepared: the model's input.
        reduced: of how many of its pixels, along each side, one was decoded.
    """

    size: tuple[int, int]
    notes: tuple[str, ...]
    prepared: Float32[np.ndarray, "channel height width"]
    reduced: int


def read_quickly(content: bytes, source: str, preprocessing: Preprocessing, quick: Quick) -> QuickPhoto:
    """Read a photo as the model takes it.

    Args:
        content: what is in its file.
        source: what it is called.
        preprocessing: how it becomes the model's input.
        quick: what is spared.

    Raises:
        ImageError: see `read_photo_bytes` and `Preprocessing`.
    """
    with opened_bytes(content, source) as (image, name):
        size = upright_size(image)
        reduced = _reduce(image, size, preprocessing) if quick == "reduced" else 1
        photo = decoded(image, name, source)
    if reduced == 1:
        size = photo.size
    elif photo.size != tuple(-(-side // reduced) for side in size):  # its EXIF could not be read to the end
        size = size[::-1]
    prepared = preprocessing.quick(photo, size, reduced) if quick else preprocessing(photo)
    return QuickPhoto(size, photo.notes, prepared, reduced)


def _reduce(image: Image.Image, size: tuple[int, int], preprocessing: Preprocessing) -> int:
    """Have a JPEG file decoded smaller where enough pixels are left; gives of how many along a side one is."""
    if image.format not in _JPEG:
        return 1
    try:
        scale = max(preprocessing.geometry(size).scale)
    except ImageError:  # it is refused when it is resized, by its name
        return 1
    width, height = image.size
    for step in _SCALES:
        # a last pixel that is not whole is at the right and at the bottom, unless the photo is turned
        whole = width % step == height % step == 0 or orientation(image) == UPRIGHT
        if whole and scale * step * ENOUGH <= 1:
            image.draft(None, (width // step, height // step))
            return step if image.size == (-(-width // step), -(-height // step)) else 1
    return 1
