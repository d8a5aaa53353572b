"""What a person looks at for each input: the picture (and how its pixels map to the model's input), signal or text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Shaped, UInt8
from PIL import Image

from camscope.arrays import Array, detached, from_numpy, to_numpy
from camscope.errors import InputError
from camscope.images import Geometry, Photo, Preprocessing, read_photo
from camscope.signals import Signal, SignalGeometry, to_sound
from camscope.text import Text

_AT_A_TIME = 16
"""Rows of a tensor that are turned into bytes together."""


@dataclass(frozen=True)
class InputImage:
    """The picture a heatmap is laid on.

    Attributes:
        picture: the picture as the person has it, RGB and upright.
        geometry: how its pixels map to the model's input.
        source: the file it was read from; None if there is none.
        notes: what was changed when it was read (first frame, 16-bit scaled …).
    """

    picture: Image.Image
    geometry: Geometry
    source: str | None = None
    notes: tuple[str, ...] = ()

    def shrunk(self, longest: int) -> InputImage:
        """The same at no more pixels along its longer side; a smaller picture stays as it is.

        Args:
            longest: how many pixels.
        """
        width, height = self.picture.size
        factor = longest / max(width, height)
        if factor >= 1:
            return self
        small = max(1, round(width * factor)), max(1, round(height * factor))
        picture = self.picture.resize(small, Image.Resampling.LANCZOS, reducing_gap=2.0)
        return replace(self, picture=picture, geometry=self.geometry.of_smaller(small[::-1]))


class InputImages:
    """The input images of a batch, each made when it is first needed; or its signals, or its texts.

    Args:
        makers: a function for each input that makes its image; None if the input is no picture (a signal, a volume, a
            text).
        texts: the text of each input, if the inputs are texts.
        signals: a function for each input that gives its signal, if the inputs are signals; None where it is gone.
    """

    of_tensors = False
    """Whether they are pictures of tensors that were given, and not photos."""

    def __init__(
        self,
        makers: Sequence[Callable[[], InputImage] | None],
        texts: Sequence[Text] = (),
        signals: Sequence[Callable[[], Signal] | None] = (),
    ) -> None:
        self._makers = tuple(makers)
        self.texts = tuple(texts)
        self._signals = tuple(signals)
        self._made: dict[int, InputImage] = {}

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, image: int) -> InputImage:
        if image not in self._made:
            make = self._makers[image]
            if make is None:
                what = "use heatmaps()"
                if self.texts or self.of_signals:
                    what = "use words(), figure()" if self.texts else "use figure(), photo_heatmaps()"
                raise InputError(
                    f"This input is not a picture, so there is nothing to lay a heatmap on; {what}."
                )
            self._made[image] = make()
        return self._made[image]

    def keep(self) -> None:
        """Copy what is still the user's, who may write to it before the images are made."""

    def has(self, image: int) -> bool:
        """Whether an input is a picture."""
        return self._makers[image] is not None

    @property
    def of_signals(self) -> bool:
        """Whether the inputs are signals."""
        return bool(self._signals)

    def has_signal(self, image: int) -> bool:
        """Whether an input is a signal that there still is."""
        return self.of_signals and self._signals[image] is not None

    def signal(self, image: int) -> Signal:
        """One signal.

        Raises:
            InputError: if the input is none, or it was not kept in a file.
        """
        if not self.of_signals:
            raise InputError("This input is no signal.")
        make = self._signals[image]
        if make is None:
            raise InputError(
                "The signal is not in the file that this explanation was read from, nor can it be read again from "
                "where it was: explain it anew for a figure. heatmaps() and boxes() need no signal."
            )
        return make()

    def geometry(self, image: int) -> Geometry | SignalGeometry:
        """How the pixels of an input's picture, or the times of its signal, map to the model's input.

        Raises:
            InputError: if the input is neither.
        """
        return self.signal(image).geometry if self.has_signal(image) else self[image].geometry

    def only(self, images: Sequence[int]) -> InputImages:
        """The images (or signals, or texts) of some inputs, as those of a batch. A text alone is not padded."""
        texts = [self.texts[image] for image in images] if self.texts else []
        return InputImages(
            [partial(self.__getitem__, image) if self.has(image) else None for image in images],
            [text.unpadded for text in texts] if len(texts) == 1 else texts,
            [partial(self.signal, image) if self.has_signal(image) else None for image in images]
            if self.of_signals
            else (),
        )

    def shrunk(self, longest: int) -> InputImages:
        """The same images, each at no more pixels along its longer side; what is drawn on them takes less time.

        Args:
            longest: how many pixels.
        """

        def smaller(image: int) -> InputImage:
            return self[image].shrunk(longest)

        makers = [partial(smaller, image) if self.has(image) else None for image in range(len(self))]
        return InputImages(makers, self.texts, self._signals)


def images_of_photos(photos: Sequence[Photo], preprocessing: Preprocessing) -> InputImages:
    """The input images of photos, with the geometry of their preprocessing."""
    return InputImages([partial(_of_photo, photo, preprocessing) for photo in photos])


def _of_photo(photo: Photo, preprocessing: Preprocessing) -> InputImage:
    return InputImage(photo.pixels, preprocessing.geometry(photo.size), photo.source, photo.notes)


def images_of_signals(signals: Sequence[Signal]) -> InputImages:
    """The input images of signals: there are none, only the signals."""
    return InputImages([None] * len(signals), (), [partial(_itself, signal) for signal in signals])


def _itself(signal: Signal) -> Signal:
    return signal


def images_of_texts(texts: Sequence[Text]) -> InputImages:
    """The input images of texts: there are none, only the texts."""
    return InputImages([None] * len(texts), texts)


def images_of_pictures(
    pictures: Sequence[Image.Image], photos: Sequence[Photo], geometries: Sequence[Geometry] = ()
) -> InputImages:
    """The input images of photos that a library prepares: the pictures that the model sees, or the photos themselves.

    Args:
        pictures: each photo as the model sees it; or as it is, if there are geometries.
        photos: the photos, for their files and notes.
        geometries: how each picture's pixels map to the model's input; empty if they are as the model sees them.
    """
    if geometries:
        return InputImages(
            [
                partial(InputImage, picture, geometry, photo.source, photo.notes)
                for picture, geometry, photo in zip(pictures, geometries, photos, strict=True)
            ]
        )
    return InputImages(
        [partial(_of_picture, picture, photo.notes) for picture, photo in zip(pictures, photos, strict=True)]
    )


def _of_picture(picture: Image.Image, notes: tuple[str, ...]) -> InputImage:
    return InputImage(picture, Geometry.identity((picture.height, picture.width)), None, notes)


def images_of_batch(x: Any, preprocessing: Preprocessing | None) -> InputImages:
    """The input images of a tensor that was given preprocessed: its rows turned back into pictures, or its signals.

    If there is no preprocessing to undo, each row is stretched from its own darkest to its own brightest value.

    Args:
        x: the tensor. Of `batch channel time` the rows are signals; if it is not `batch channel height width` of 1 or 3
            channels, they are no pictures.
        preprocessing: what was presumably done to the photos; None if that is not known.
    """
    if x.ndim == 3:
        return SignalsOfTensor(x)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        return InputImages([None] * (x.shape[0] if x.ndim else 0))
    return _TensorImages(x, preprocessing)


class SignalsOfTensor(InputImages):
    """The rows of a tensor as signals.

    Args:
        x: the tensor.
        rate: samples per second; None if that is not known.
        sound: whether they are sounds.
    """

    def __init__(
        self, x: Shaped[Array, "batch channel time"], rate: float | None = None, *, sound: bool = False
    ) -> None:
        rows = range(x.shape[0])
        super().__init__([None] * len(rows), (), [partial(self._of_row, row) for row in rows])
        self._x, self._kept, self._rate, self._sound = x, False, rate, sound

    def keep(self) -> None:
        """Copy the tensor, on its device."""
        if not self._kept:
            xp = array_namespace(self._x)
            self._x, self._kept = xp.asarray(detached(self._x), copy=True), True

    def _of_row(self, row: int) -> Signal:
        self.keep()
        values = to_numpy(self._x[row]).astype(np.float32)
        return Signal(values, SignalGeometry.identity(values.shape[1:]), self._rate, sound=self._sound)


class _TensorImages(InputImages):
    """The rows of a tensor as pictures.

    Args:
        x: see `images_of_batch`.
        preprocessing: see `images_of_batch`.
    """

    of_tensors = True

    def __init__(
        self, x: Shaped[Array, "batch channel height width"], preprocessing: Preprocessing | None
    ) -> None:
        super().__init__([partial(self._of_row, row) for row in range(x.shape[0])])
        self._x = x
        fits = preprocessing is not None and len(preprocessing.mean) == x.shape[1]
        self._undone = preprocessing if fits else None
        self._pixels: UInt8[Array, "batch channel height width"] | None = None

    def keep(self) -> None:
        """Copy the tensor as bytes, on its device."""
        if self._pixels is None:
            xp = array_namespace(self._x)
            parts = range(0, self._x.shape[0], _AT_A_TIME)
            self._pixels = xp.concat(
                [_pixels(self._x[i : i + _AT_A_TIME], self._undone) for i in parts], axis=0
            )
            del self._x

    def _of_row(self, row: int) -> InputImage:
        self.keep()
        assert self._pixels is not None
        pixels = to_numpy(self._pixels[row]).transpose(1, 2, 0)
        rgb = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else np.ascontiguousarray(pixels)
        return InputImage(Image.fromarray(rgb), Geometry.identity((pixels.shape[0], pixels.shape[1])))


def _pixels(
    x: Shaped[Array, "batch channel height width"], undone: Preprocessing | None
) -> UInt8[Array, "batch channel height width"]:
    """A preprocessed tensor as bytes: with its preprocessing undone, or stretched row by row."""
    xp = array_namespace(x)
    values = detached(x)
    if values.dtype not in (xp.float32, xp.float64):
        values = xp.astype(values, xp.float32)
    if undone is None:
        low, high = (end(values, axis=(1, 2, 3), keepdims=True) for end in (xp.min, xp.max))
        light = (values - low) / xp.where(high > low, high - low, xp.ones_like(low)) * 255
    else:
        mean, std = (255.0 * np.asarray(numbers).reshape(-1, 1, 1) for numbers in (undone.mean, undone.std))
        light = xp.clip(values * from_numpy(std, like=values) + from_numpy(mean, like=values), 0, 255)
        light = xp.flip(light, axis=1) if undone.bgr else light
    return xp.astype(xp.round(light), xp.uint8)


def image_of_saved(source: str | None, geometry: Geometry | None) -> Callable[[], InputImage] | None:
    """What makes the input image of a saved explanation: it reads the photo again from where it was.

    Args:
        source: the photo's file; None if there is none, and so no input image.
        geometry: how its pixels map to the model's input; None if there is no input image.
    """
    if source is None or geometry is None:
        return None

    return partial(_read_again, source, geometry)


def _read_again(source: str, geometry: Geometry) -> InputImage:
    photo = read_photo(source)
    if photo.size != geometry.photo_size:
        raise InputError(
            f"{source} is {photo.size[0]}×{photo.size[1]} now; it was {geometry.photo_size[0]}×"
            f"{geometry.photo_size[1]} when it was explained."
        )
    return InputImage(photo.pixels, geometry, photo.source, photo.notes)


def signal_of_saved(
    source: str | None, geometry: SignalGeometry, rate: float | None
) -> Callable[[], Signal] | None:
    """What makes the signal of a saved explanation: it reads the sound again from where it was.

    Args:
        source: the sound's file; None if there is none, and so no signal.
        geometry: where its times lie in the model's input.
        rate: samples per second.
    """
    if source is None or len(geometry.photo_size) > 1:
        return None
    return partial(_sound_again, source, geometry, rate)


def _sound_again(source: str, geometry: SignalGeometry, rate: float | None) -> Signal:
    sound = to_sound(source)
    if sound.samples.shape != geometry.photo_size or sound.rate != rate:
        raise InputError(
            f"{source} has {len(sound.samples)} samples at {sound.rate} Hz now; it had {geometry.photo_size[0]} at "
            f"{rate} Hz when it was explained."
        )
    return Signal(sound.samples[None], geometry, rate, sound=True, source=source, notes=sound.notes)
