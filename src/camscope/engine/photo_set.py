"""A set of photos that is gone over more than once: read a few at a time, without copies and what cannot be read.

A photo that is there twice could stand in both halves of a choice, which would be tested on what it was chosen on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj
from jaxtyping import Int

from camscope.arrays import to_numpy
from camscope.errors import ImageError, InputError
from camscope.images import Photo, Preprocessing, find_photos, to_photo


class PhotoSet:
    """Photos by number.

    Args:
        photos: a list of paths, PIL images or arrays; a folder; or a batch that is already prepared, of which each row
            is one.
        preprocessing: of the model; None if it is not known.

    Raises:
        InputError: if it is neither, or empty.
    """

    def __init__(self, photos: Any, preprocessing: Preprocessing | None) -> None:
        if isinstance(photos, (str, os.PathLike)):
            photos = find_photos([photos]) if Path(photos).is_dir() else [photos]
        self._batch = hasattr(photos, "shape")
        if not self._batch and not isinstance(photos, (list, tuple)):
            raise InputError(
                f"These are photos of the type {type(photos).__name__}: expected a folder, a list of paths, PIL images "
                "or arrays, or a batch (image, channel, height, width)."
            )
        if not len(photos):
            raise InputError("There are no photos: the list is empty.")
        # rows are taken by a list of numbers, which means something else to a tensor of TensorFlow
        self._photos = to_numpy(photos) if self._batch and not is_array_api_obj(photos) else photos
        self._preprocessing = preprocessing
        self.left_out: dict[int, str] = {}
        self.again: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._photos)

    def name(self, number: int) -> str:
        """What a photo is called."""
        one = None if self._batch else self._photos[number]
        return os.fspath(one) if isinstance(one, (str, os.PathLike)) else f"photo {number}"

    def folder(self, number: int) -> str | None:
        """The name of the folder that a photo lies in; None of one that is no file."""
        one = None if self._batch else self._photos[number]
        return Path(one).parent.name if isinstance(one, (str, os.PathLike)) else None

    def chunks(self, size: int) -> Iterator[tuple[Int[np.ndarray, " n"], Any]]:
        """The numbers of some photos that can be read, and the photos as an explainer takes them, chunk by chunk.

        Those that cannot are noted in `left_out`, and those whose pixels are another's in `again`, beside its number.
        """
        known: dict[bytes, int] = {}
        for start in range(0, len(self), size):
            numbers, some = [], []
            for number in range(start, min(start + size, len(self))):
                try:
                    photo = self._readable(number)
                except ImageError as error:
                    self.left_out[number] = str(error)
                    continue
                first = known.setdefault(_digest(photo), number)
                if first != number:
                    self.again[number] = first
                    continue
                some.append(photo)
                numbers.append(number)
            if numbers:
                yield np.array(numbers), self.some(numbers) if self._batch else some

    def some(self, numbers: Sequence[int]) -> Any:
        """Some photos as an explainer takes them."""
        if self._batch:
            return self._photos[np.asarray(numbers)]
        return [self._photos[number] for number in numbers]

    def _readable(self, number: int) -> Any:
        if self._batch:
            return self._photos[number]
        photo = to_photo(self._photos[number])
        if self._preprocessing is not None:
            self._preprocessing.geometry(photo.size)  # raises for one that is too narrow
        return photo


def _digest(photo: Any) -> bytes:
    """What tells the pixels of a photo, or a row of a batch, from others."""
    pixels = np.ascontiguousarray(photo.pixels if isinstance(photo, Photo) else to_numpy(photo))
    return hashlib.blake2b(pixels.tobytes(), person=str(pixels.shape).encode()[:16]).digest()
