"""From a photo to the array that a model takes, as timm and torchvision do it, and back to a picture for display."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

import numpy as np
from einops import rearrange, repeat
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from camscope.errors import ImageError, InputError, nearest
from camscope.images.geometry import Geometry
from camscope.images.photo import Photo
from camscope.images.read import MAX_PIXELS, to_photo
from camscope.images.translate import (
    Crop,
    CropOffset,
    Greyscale,
    Interpolation,
    check_interpolation,
    huggingface_fields,
    timm_fields,
    torchvision_fields,
)


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop, scale to [0, 1], subtract the mean, divide by the standard deviation.

    It is done with Pillow, as by the transforms of timm and torchvision on photos, and equals them to the pixel.

    Attributes:
        input_size: (height, width) of the model's input, in pixels.
        resize: what the photo is resized to before the crop. An int is the length of the shorter side
            (torchvision's rounding), a pair is (height, width), None leaves the size as it is.
        crop: ``center`` keeps the aspect ratio, covers a ``resize`` pair, and cuts off what is too large;
            ``squash`` resizes to exactly the pair; ``border`` keeps the aspect ratio, fits inside the pair,
            and fills the rest with the mean colour. With the first two, a photo that is smaller than the input
            gets a black border.
        interpolation: Pillow's filter.
        mean: the mean of each channel, for pixel values in [0, 1]. One value is for greyscale, three are for RGB.
        std: the standard deviation of each channel, in the same unit.
        greyscale: whether the photo is made grey ``before`` or ``after`` it is resized (which rounds differently),
            or stays in colour (None). For one-channel models None becomes ``before``.
        source: where these values come from.
        bgr: whether the model takes blue first; mean and std are in the model's order.
        crop_offset: how a crop's edge at half a pixel is rounded: to the ``even`` pixel (torchvision and timm) or
            ``down`` (Hugging Face).
        fill: the light of what the photo does not fill, from 0 to 1; None is black, or with ``border`` the mean colour.

    Raises:
        InputError: a value is not valid.

    Example:
        >>> seen = camscope.Preprocessing(input_size=(224, 224), resize=256)
        >>> seen(Image.open("photo.jpg")).shape
        (3, 224, 224)
    """

    input_size: tuple[int, int]
    resize: int | tuple[int, int] | None = None
    crop: Crop = "center"
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    greyscale: Greyscale | None = None
    source: str = "by hand"
    bgr: bool = False
    crop_offset: CropOffset = "even"
    fill: float | None = None

    def __post_init__(self) -> None:
        check_interpolation(self.interpolation)
        crops = get_args(Crop)
        if self.crop not in crops:
            raise InputError(f"There is no crop {self.crop!r}.{nearest(self.crop, crops)} Valid: {crops}.")
        if len(self.input_size) != 2 or min(self.input_size) < 1:
            raise InputError(f"input_size is (height, width) in pixels; got {self.input_size}.")
        if self.crop != "center" and isinstance(self.resize, int):
            raise InputError(f"crop={self.crop!r} needs resize=(height, width); got resize={self.resize}.")
        sides = (self.resize,) if isinstance(self.resize, int) else self.resize or (1, 1)
        if min(sides) < 1:
            raise InputError(f"resize is in pixels, at least 1; got {self.resize}.")
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise InputError(
                "mean and std have one value (greyscale) or three (RGB) each; "
                f"got mean={self.mean} and std={self.std}."
            )
        if not min(self.std) > 0:
            raise InputError(f"std must be positive; got {self.std}.")
        if self.fill is not None and not 0 <= self.fill <= 1:
            raise InputError(
                f"fill is the light of the border, from 0 (black) to 1 (white); got {self.fill}."
            )
        if len(self.mean) == 1 and self.greyscale is None:
            object.__setattr__(self, "greyscale", "before")

    @classmethod
    def from_timm(cls, config: Mapping[str, Any]) -> Preprocessing:
        """Build it from what ``timm.data.resolve_data_config`` or ``resolve_model_data_config`` returns.

        Equal to ``timm.data.create_transform(**config, is_training=False)``. The interpolation ``random``
        becomes ``bilinear``.

        Raises:
            InputError: a key is missing or has a value timm does not know.
        """
        return cls(**timm_fields(config))

    @classmethod
    def from_torchvision(cls, transforms: Any) -> Preprocessing:
        """Build it from ``weights.transforms()`` of a torchvision classifier, or from a Compose (v1 or v2).

        A Compose may hold Resize, CenterCrop, Grayscale, ToTensor, PILToTensor, ToImage, ToDtype,
        ConvertImageDtype and Normalize. Steps are recognised by the name of their class. A Resize after the
        conversion to a tensor is done by Pillow instead, which differs by at most one grey level.

        Raises:
            InputError: a step cannot be translated; the message says which, and why.
        """
        return cls(**torchvision_fields(transforms))

    @classmethod
    def from_huggingface(cls, processor: Any) -> Preprocessing:
        """Build it from an image processor of Hugging Face transformers (or one inside a processor).

        Its torchvision backend resizes by its own code, which differs from Pillow by one grey level at most. The
        result is compared with the processor on a test picture, and a processor that does anything else is refused.

        Raises:
            InputError: the processor does something that cannot be translated; the message says what.
        """
        processor = getattr(processor, "image_processor", processor)
        found = cls(**huggingface_fields(processor.to_dict()))
        _check_same(found, processor)
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Build it from what `to_dict` gave, also after it was JSON.

        Raises:
            InputError: it is no dictionary, a field does not exist or is missing, or a value is not valid.
        """
        known = [one.name for one in fields(cls)]
        if not isinstance(values, Mapping):
            raise InputError(f"Expected the fields of a Preprocessing by name, got {type(values).__name__}.")
        for name in values:
            if name not in known:
                raise InputError(
                    f"A Preprocessing has no {name!r}.{nearest(str(name), known)} It has: {', '.join(known)}."
                )
        given: dict[str, Any] = {
            key: tuple(one) if isinstance(one, list) else one for key, one in values.items()
        }
        try:
            return cls(**given)
        except TypeError as error:
            raise InputError(f"These are no values of a Preprocessing: {error}.") from error

    def __call__(self, photo: Photo | Image.Image) -> Float32[np.ndarray, "channel height width"]:
        """Give the model's input for one photo, without the batch axis. A PIL image is turned upright first.

        Raises:
            ImageError: the photo is too narrow to be resized this way.
        """
        return self.normalise(self._fitted(to_photo(photo)))

    def quick(
        self, photo: Photo, size: tuple[int, int] | None = None, reduced: int = 1
    ) -> Float32[np.ndarray, "channel height width"]:
        """Give the model's input, with no work on what the crop cuts off: the same but for rounding.

        Pillow resizes one axis after the other, and rounds (and clips, which cubic filters need) in between; of a part
        it may take them in another order. Of photos a pixel in some thousands then differs by a grey level; of noise up
        to a quarter.

        Args:
            photo: it may have been decoded smaller than it is.
            size: its own (height, width), if it was.
            reduced: of how many of its own pixels, along each side, one was decoded.

        Raises:
            ImageError: the photo is too narrow to be resized this way.
        """
        return self.normalise(self._fitted(photo, size or photo.size, reduced))

    def normalise(
        self, picture: Image.Image, levels: Float32[np.ndarray, " 256"] | None = None
    ) -> Float32[np.ndarray, "channel height width"]:
        """Give the model's input for a picture that has its size already; in grey if the model takes grey.

        Args:
            picture: 8-bit, ``RGB`` or ``L``.
            levels: the light that each of the 256 values of a pixel stands for; None is value / 255, from 0 to 1.
        """
        picture = self._coloured(picture)
        pixels = np.asarray(picture).reshape(picture.height, picture.width, -1)
        light = np.arange(256, dtype=np.float32) / 255 if levels is None else levels
        # A pixel has 256 values, so each is normalised once and looked up, which gives the same floats.
        table = (light[:, None] - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        normal = np.empty((len(self.mean), picture.height, picture.width), np.float32)
        for c, channel in enumerate(normal):
            np.take(table[:, c], pixels[..., -1 - c if self.bgr else c], out=channel, mode="clip")
        return normal

    def view(self, photo: Photo | Image.Image) -> Image.Image:
        """Give the photo as the model sees it: resized and cropped to ``input_size``, as an ``RGB`` picture.

        Raises:
            ImageError: the photo is too narrow to be resized this way.
        """
        return self._fitted(to_photo(photo)).convert("RGB")

    def geometry(self, photo_size: tuple[int, int]) -> Geometry:
        """Say where the pixels of a photo of (height, width) land in the model's input.

        Raises:
            ImageError: a photo of that shape is too narrow to be resized this way.
        """
        resized = self._resized(photo_size, "The photo")
        top, left = self._offset(resized)
        return Geometry(
            photo_size=photo_size,
            input_size=self.input_size,
            scale=(resized[0] / photo_size[0], resized[1] / photo_size[1]),
            offset=(float(top), float(left)),
        )

    def denormalise(
        self, array: Float[np.ndarray, "*batch channel height width"]
    ) -> UInt8[np.ndarray, "*batch height width 3"]:
        """Turn model inputs back into RGB pixels to look at. Values outside [0, 1] are clipped, NaN becomes black.

        Raises:
            InputError: the array does not have as many channels as ``mean``.
        """
        values = np.asarray(array, dtype=np.float64)
        if values.ndim < 3 or values.shape[-3] != len(self.mean):
            raise InputError(
                f"Expected an array of shape (..., {len(self.mean)}, height, width); got {values.shape}."
            )
        light = rearrange(values, "... channel height width -> ... height width channel")
        light = np.nan_to_num(np.clip(light * self.std + self.mean, 0, 1), nan=0.0)
        light = light[..., ::-1] if self.bgr else light
        pixels = np.rint(light * 255).astype(np.uint8)
        return pixels if pixels.shape[-1] == 3 else repeat(pixels, "... 1 -> ... rgb", rgb=3)

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name, for provenance."""
        return asdict(self)

    def _fitted(self, photo: Photo, size: tuple[int, int] | None = None, reduced: int = 1) -> Image.Image:
        """Resize and crop; the mode is ``L`` for one-channel models, else ``RGB``.

        With the photo's own size only what the crop keeps is resized, to the pixels where it would be.
        """
        resized = self._resized(size or photo.size, f"'{photo.source}'" if photo.source else "The photo")
        offset = self._offset(resized)
        rows, columns = (0, resized[0]), (0, resized[1])
        box = None
        if size is not None:
            rows, columns = (
                (max(0, -first), min(full, want - first))
                for first, full, want in zip(offset, resized, self.input_size, strict=True)
            )
            down, across = (own / full / reduced for own, full in zip(size, resized, strict=True))
            box = (
                columns[0] * across,
                rows[0] * down,
                min(columns[1] * across, photo.pixels.width),
                min(rows[1] * down, photo.pixels.height),
            )
        picture = photo.pixels.convert("L") if self.greyscale == "before" else photo.pixels
        shape = columns[1] - columns[0], rows[1] - rows[0]
        picture = picture.resize(shape, Image.Resampling[self.interpolation.upper()], box)
        picture = self._coloured(picture)
        fitted = Image.new(picture.mode, self.input_size[::-1], self._fill())
        fitted.paste(picture, (offset[1] + columns[0], offset[0] + rows[0]))
        return fitted

    def _coloured(self, picture: Image.Image) -> Image.Image:
        """In grey if the model was trained so; ``L`` for one-channel models, else ``RGB``."""
        if self.greyscale and picture.mode != "L":
            picture = picture.convert("L")
        mode = "L" if len(self.mean) == 1 else "RGB"
        return picture if picture.mode == mode else picture.convert(mode)

    def _fill(self) -> int | tuple[int, ...]:
        mean = self.mean if self.crop == "border" else (0.0,) * len(self.mean)
        colour = tuple(round(255 * (value if self.fill is None else self.fill)) for value in mean)
        return colour if len(colour) == 3 else colour[0]

    def _resized(self, size: tuple[int, int], name: str) -> tuple[int, int]:
        """Give (height, width) after resizing, rounded as torchvision (int) and timm (pair) do."""
        height, width = size
        if self.resize is None:
            return size
        if isinstance(self.resize, int):
            longer = int(self.resize * max(size) / min(size))
            resized = (longer, self.resize) if width <= height else (self.resize, longer)
        elif self.crop == "squash":
            resized = self.resize
        else:
            ratios = height / self.resize[0], width / self.resize[1]
            ratio = max(ratios) if self.crop == "border" else min(ratios)
            resized = round(height / ratio), round(width / ratio)
        if min(resized) < 1 or resized[0] * resized[1] > MAX_PIXELS:
            raise ImageError(
                f"{name} is too narrow: {height} high and {width} wide, it would be resized to "
                f"{resized[0]} x {resized[1]}. Crop it first, or use crop='squash'."
            )
        return resized

    def _offset(self, resized: tuple[int, int]) -> tuple[int, int]:
        """Give (top, left) of the resized photo in the input, rounded as torchvision's center_crop does."""
        # torchvision rounds padding down, and crops half to even.
        cut = round if self.crop_offset == "even" else math.floor
        top, left = (
            (want - have) // 2 if want > have else -cut((have - want) / 2)
            for want, have in zip(self.input_size, resized, strict=True)
        )
        return top, left


_TOLERANCE = 3 / 255
"""The largest allowed difference: two grey levels, and one more for floating point."""


def _check_same(preprocessing: Preprocessing, processor: Any) -> None:
    """Refuse a Hugging Face processor that gives another result for a picture with gradients, an edge and all colours.

    Raises:
        InputError: the results differ.
    """
    height, width = 300, 401  # odd, so that a crop of an even size begins at half a pixel
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    picture = np.stack([across, down, np.where(across + down > 255, 200.0, 40.0)], axis=-1)
    photo = Image.fromarray(np.rint(picture).astype(np.uint8))
    try:
        theirs = np.asarray(processor(photo, return_tensors="np")["pixel_values"])[0]
    except Exception as error:  # whatever a processor raises that is for something else than photos
        raise InputError(
            f"The {type(processor).__name__} makes no picture of a photo ({type(error).__name__}: {error})."
        ) from error
    ours = preprocessing(photo)
    same = theirs.shape == ours.shape
    off = np.abs(theirs - ours).max(axis=(1, 2)) * np.asarray(preprocessing.std) if same else None
    if off is None or off.max() > _TOLERANCE:
        what = f"off by {off.max():.2f} of the brightest" if off is not None else f"shape {theirs.shape}"
        raise InputError(
            f"The {type(processor).__name__} does something that is not translated here (on a test picture: {what}, "
            f"expected {ours.shape}). Have it run as it is, Explainer(model, preprocessing=processor); or "
            "give the model tensors, processor(photo)['pixel_values']."
        )


IMAGENET = Preprocessing(input_size=(224, 224), resize=256, source="ImageNet standard")
"""The usual preprocessing for ImageNet: shorter side 256, bilinear, centre crop 224."""
