"""What a person looks at for each input: the picture, and how its pixels map to the model's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from camscope.arrays import to_numpy
from camscope.errors import InputError
from camscope.images import Geometry, Photo, Preprocessing, read_photo
from camscope.text import Text


@dataclass(frozen=True)
class InputImage:
    """The picture a heatmap is laid on.

    Attributes:
        picture: RGB, upright, as the person has it.
        geometry: how its pixels map to the model's input.
        source: where it was read from, or None.
        notes: what reading it had to do (first frame, 16-bit scaled …).
    """

    picture: Image.Image
    geometry: Geometry
    source: str | None = None
    notes: tuple[str, ...] = ()


class InputImages:
    """The views of a batch, each made when it is first looked at.

    Args:
        makers: one function per image; None where the input is no picture (a signal, a volume, a text).
        texts: one per input, if they are texts.
    """

    def __init__(self, makers: Sequence[Callable[[], InputImage] | None], texts: Sequence[Text] = ()) -> None:
        self._makers = tuple(makers)
        self.texts = tuple(texts)
        self._made: dict[int, InputImage] = {}

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, image: int) -> InputImage:
        if image not in self._made:
            make = self._makers[image]
            if make is None:
                what = "use words(), figure()" if self.texts else "use heatmaps()"
                raise InputError(
                    f"This input is not a picture, so there is nothing to lay a heatmap on; {what}."
                )
            self._made[image] = make()
        return self._made[image]

    def has(self, image: int) -> bool:
        """Whether there is a picture."""
        return self._makers[image] is not None

    def only(self, image: int) -> InputImages:
        """The views of one image of the batch."""
        return InputImages(
            [(lambda: self[image]) if self.has(image) else None],
            [text.unpadded for text in self.texts[image : image + 1]],
        )


def images_of_photos(photos: Sequence[Photo], preprocessing: Preprocessing) -> InputImages:
    """Photos as the person has them, with the preprocessing's way back."""

    def maker(photo: Photo) -> Callable[[], InputImage]:
        return lambda: InputImage(photo.pixels, preprocessing.geometry(photo.size), photo.source, photo.notes)

    return InputImages([maker(photo) for photo in photos])


def images_of_texts(texts: Sequence[Text]) -> InputImages:
    """Texts, which are no pictures."""
    return InputImages([None] * len(texts), texts)


def images_of_pictures(pictures: Sequence[Image.Image], photos: Sequence[Photo]) -> InputImages:
    """Pictures as the model sees them, of photos whose way there is not known."""

    def maker(picture: Image.Image, photo: Photo) -> Callable[[], InputImage]:
        geometry = Geometry.identity((picture.height, picture.width))
        return lambda: InputImage(picture, geometry, None, photo.notes)

    return InputImages([maker(picture, photo) for picture, photo in zip(pictures, photos, strict=True)])


def images_of_batch(x: Any, preprocessing: Preprocessing | None) -> InputImages:
    """Tensors that were given preprocessed, turned back into pictures: denormalised if it is known how.

    Without a known preprocessing each picture is stretched to its own darkest and brightest value.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        return InputImages([None] * (x.shape[0] if x.ndim else 0))
    height, width = int(x.shape[2]), int(x.shape[3])
    known = preprocessing is not None and len(preprocessing.mean) == x.shape[1]

    def maker(image: int) -> Callable[[], InputImage]:
        def make() -> InputImage:
            pixels = to_numpy(x[image]).astype(np.float32)
            if known:
                assert preprocessing is not None
                rgb = preprocessing.denormalise(pixels)
            else:
                low, high = pixels.min(), pixels.max()
                stretched = (pixels - low) / (high - low) if high > low else np.zeros_like(pixels)
                rgb = np.round(255 * stretched).astype(np.uint8).transpose(1, 2, 0)
            if rgb.shape[-1] == 1:
                rgb = np.repeat(rgb, 3, axis=-1)
            return InputImage(Image.fromarray(rgb), Geometry.identity((height, width)))

        return make

    return InputImages([maker(image) for image in range(x.shape[0])])


def image_of_saved(source: str | None, geometry: Geometry | None) -> Callable[[], InputImage] | None:
    """The view of a saved explanation: its photo is read again from where it was."""
    if source is None or geometry is None:
        return None

    def make() -> InputImage:
        photo = read_photo(source)
        if photo.size != geometry.photo_size:
            raise InputError(
                f"{source} is {photo.size[0]}×{photo.size[1]} now; it was {geometry.photo_size[0]}×"
                f"{geometry.photo_size[1]} when it was explained."
            )
        return InputImage(photo.pixels, geometry, photo.source, photo.notes)

    return make
