"""What the model's input is to be: its size, its colours and its statistics."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from camscope.errors import InputError
from camscope.images import IMAGENET, Photo, Preprocessing
from camscope.training.labelled import LabelledImages

_LOOKED_AT = 64

TINY = 64
"""Images whose longer side has no more pixels than this are tiny."""

_PHOTOS = 128
"""Side of the input for a network from scratch, where the images are no tiny ones."""


@dataclass(frozen=True)
class Looks:
    """What some of the training images look like.

    Attributes:
        size: the median of their heights and of their widths.
        uniform: whether all have this size.
        grey: whether none has a colour.
    """

    size: tuple[int, int]
    uniform: bool
    grey: bool

    @property
    def tiny(self) -> bool:
        """Whether they are tiny: glyphs, icons, or thumbnails whose object fills the frame."""
        return max(self.size) <= TINY


def look_at(labelled: LabelledImages, indices: Int[np.ndarray, " train"]) -> Looks:
    """Look at a few training images, from the first to the last.

    Args:
        labelled: the images.
        indices: which of them are trained on.

    Raises:
        InputError: if none of those few can be read; with the reason of the first.
    """
    chosen = indices[np.unique(np.linspace(0, len(indices) - 1, _LOOKED_AT).round().astype(int))]
    photos: list[Photo] = []
    first: InputError | None = None
    for index in chosen.tolist():
        try:
            photos.append(labelled.photo(index))
        except InputError as error:
            first = first or error
    if not photos:
        assert first is not None
        raise first
    sizes = np.array([photo.size for photo in photos])
    height, width = np.median(sizes, axis=0).round().astype(int).tolist()
    return Looks((height, width), bool((sizes == sizes[0]).all()), all(_is_grey(photo) for photo in photos))


def known_preprocessing(known: Preprocessing, size: int | None) -> Preprocessing:
    """A pretrained model's preprocessing, at another size if one is asked for.

    Args:
        known: the model's own.
        size: side of the square input, in pixels, or None.
    """
    if size is None or known.input_size == (size, size):
        return known
    ratio = size / min(known.input_size)
    resize: Any = known.resize
    if isinstance(resize, int):
        resize = round(resize * ratio)
    elif resize is not None:
        resize = (round(resize[0] * ratio), round(resize[1] * ratio))
    source = f"{known.source}, at {size}²"
    return dataclasses.replace(known, input_size=(size, size), resize=resize, source=source)


def fresh_preprocessing(looks: Looks, size: int | None, own: Preprocessing | None) -> Preprocessing:
    """The preprocessing for a network from scratch; its mean and standard deviation are to be measured.

    Images of one size up to 64 pixels are taken as they are, and a photo of another size is resized to it. Others are
    resized, their shorter side to the input's, and cropped to a square of 128 pixels, or of what the network's library
    says.

    Args:
        looks: of the training images.
        size: side of the square input, in pixels, or None.
        own: what the network's library says; None if it says nothing.
    """
    if size is None and own is None and looks.uniform and looks.tiny:
        return dataclasses.replace(
            IMAGENET, input_size=looks.size, resize=looks.size, source="the images' own size"
        )
    side = (own.input_size if own is not None else (_PHOTOS, _PHOTOS)) if size is None else (size, size)
    if side[0] == side[1]:
        return dataclasses.replace(IMAGENET, input_size=side, resize=side[0], source="from scratch")
    return dataclasses.replace(IMAGENET, input_size=side, resize=side, source="from scratch")


def _is_grey(photo: Photo) -> bool:
    pixels = np.asarray(photo.pixels)
    return bool((pixels == pixels[..., :1]).all())
