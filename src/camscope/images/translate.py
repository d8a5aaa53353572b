"""Translates preprocessing as timm, torchvision and Hugging Face describe it. None of them is imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, NotRequired, TypedDict, cast, get_args

import numpy as np
from PIL import Image

from camscope.errors import InputError, nearest

Crop = Literal["center", "squash", "border"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Greyscale = Literal["before", "after"]
CropOffset = Literal["even", "down"]


class Fields(TypedDict):
    """The fields of a Preprocessing."""

    input_size: tuple[int, int]
    resize: int | tuple[int, int] | None
    crop: Crop
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]
    greyscale: Greyscale | None
    source: str
    bgr: NotRequired[bool]
    crop_offset: NotRequired[CropOffset]


def timm_fields(config: Mapping[str, Any]) -> Fields:
    """Translate a timm data configuration, rounding as ``timm.data.transforms_imagenet_eval`` does.

    Raises:
        InputError: a key is missing or has a value that is not valid.
    """
    for key in ("input_size", "mean", "std"):
        if key not in config:
            raise InputError(
                f"The timm configuration has no {key!r}; it has {', '.join(map(repr, config)) or 'nothing'}. "
                "Pass what timm.data.resolve_model_data_config(model) returns."
            )
    if len(config["input_size"]) != 3:
        raise InputError(f"timm's input_size is (channels, height, width); got {config['input_size']}.")
    channels, height, width = (int(value) for value in config["input_size"])
    if channels != len(config["mean"]):
        raise InputError(f"The model takes {channels} channels, but mean has {len(config['mean'])} values.")
    part = config.get("crop_pct") or 0.875
    enlarged = math.floor(height / part), math.floor(width / part)
    crop = cast("Crop", config.get("crop_mode") or "center")
    # timm resizes by the shorter side only if the enlarged size is square.
    keep_shorter = crop == "center" and enlarged[0] == enlarged[1]
    named = config.get("interpolation") or "bilinear"
    return Fields(
        input_size=(height, width),
        resize=enlarged[0] if keep_shorter else enlarged,
        crop=crop,
        # timm draws the interpolation in training; here the simpler of the two it draws from is taken.
        interpolation="bilinear" if named == "random" else check_interpolation(named),
        mean=tuple(float(value) for value in config["mean"]),
        std=tuple(float(value) for value in config["std"]),
        greyscale=None,
        source="timm pretrained_cfg",
    )


def huggingface_fields(config: Mapping[str, Any]) -> Fields:
    """Translate the settings of a Hugging Face image processor (`processor.to_dict()`).

    Raises:
        InputError: a setting cannot be translated; the message says which.
    """
    kind = config.get("image_processor_type", "image processor")

    def refuse(reason: str) -> NoReturn:
        raise InputError(
            f"Cannot translate the {kind}: {reason}. Have it run as it is, Explainer(model, preprocessing=processor); "
            "or give the model tensors, processor(photo)['pixel_values']."
        )

    if not config.get("do_resize", True):
        refuse("it resizes nothing, so that every photo has a size of its own")
    if config.get("do_pad"):
        refuse("it pads")
    resize, input_size, crop = _huggingface_sizes(config, refuse)
    scale = 255 * float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 255.0
    offset = 1.0 if config.get("rescale_offset") else 0.0
    normal = config.get("do_normalize") and config.get("image_mean") is not None
    mean, std = (config["image_mean"], config["image_std"]) if normal else ((0.0,) * 3, (1.0,) * 3)
    return Fields(
        input_size=input_size,
        resize=resize,
        crop=crop,
        interpolation=_interpolation(int(config.get("resample", Image.Resampling.BILINEAR))),
        mean=tuple((float(value) + offset) / scale for value in mean),
        std=tuple(float(value) / scale for value in std),
        greyscale=None,
        source=str(kind),
        bgr=bool(config.get("do_flip_channel_order")),
        crop_offset="down",
    )


def _huggingface_sizes(
    config: Mapping[str, Any], refuse: Callable[[str], NoReturn]
) -> tuple[int | tuple[int, int], tuple[int, int], Crop]:
    """The size that the photo is resized to, the input's size, and how the photo is cropped to it."""
    size = config.get("size") or {}
    crops = config.get("crop_size") if config.get("do_center_crop") else None
    cropped = (int(crops["height"]), int(crops["width"])) if crops else None
    if "height" in size and "width" in size:
        whole = int(size["height"]), int(size["width"])
        return whole, cropped or whole, "squash"
    if "shortest_edge" not in size or "longest_edge" in size:
        refuse(f"its size is {dict(size)}")
    shorter = int(size["shortest_edge"])
    if part := config.get("crop_pct"):
        square = cropped or (shorter, shorter)
        if cropped is None and shorter >= 384:  # from this size on ConvNeXt's processor does not crop
            return square, square, "squash"
        return int(shorter / part), square, "center"
    if cropped is None:
        refuse("it keeps the photo's aspect ratio, so that every photo has a size of its own")
    return shorter, cropped, "center"


def torchvision_fields(transforms: Any) -> Fields:
    """Translate torchvision's ImageClassification preset, or a Compose of evaluation steps.

    Raises:
        InputError: a step cannot be translated; the message says which, and why.
    """
    if type(transforms).__name__ == "ImageClassification":
        resize = _sides(transforms.resize_size)
        size = _sides(transforms.crop_size)
        return Fields(
            input_size=(size, size) if isinstance(size, int) else size,
            resize=resize,
            crop="center" if isinstance(resize, int) else "squash",
            interpolation=_interpolation(transforms.interpolation),
            mean=tuple(float(value) for value in transforms.mean),
            std=tuple(float(value) for value in transforms.std),
            greyscale=None,
            source="torchvision weights",
        )
    reader = _ComposeReader()
    for step in _flat(transforms):
        reader.take(step)
    return reader.fields()


def _flat(step: Any) -> Iterator[Any]:
    if type(step).__name__ == "Compose":
        for inner in step.transforms:
            yield from _flat(inner)
    elif type(step).__name__ == "Sequential":
        for inner in step:
            yield from _flat(inner)
    else:
        yield step


@dataclass
class _ComposeReader:
    """Follows the steps of a Compose, and refuses a step that Preprocessing cannot do at that place."""

    resize: int | tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    greyscale: Greyscale | None = None
    channels: int = 3
    cropped: bool = False
    state: Literal["pil", "uint8 tensor", "float tensor"] = "pil"

    def take(self, step: Any) -> None:
        kind = type(step).__name__
        take = {
            "Resize": self._resize,
            "CenterCrop": self._crop,
            "Grayscale": self._grey,
            "Normalize": self._normalise,
            "ToTensor": self._to_float,
            "MaybeToTensor": self._to_float,
            "PILToTensor": self._to_tensor,
            "ToImage": self._to_tensor,
            "ConvertImageDtype": self._to_dtype,
            "ToDtype": self._to_dtype,
        }.get(kind)
        if take is None:
            if kind.startswith("Random") or kind in ("ColorJitter", "AutoAugment", "TrivialAugmentWide"):
                _refuse(step, "it is an augmentation; pass the transform used for evaluation")
            _refuse(step, "it is none of the steps camscope can undo on the photo")
        if self.mean is not None:
            _refuse(step, "it comes after Normalize")
        take(step)

    def fields(self) -> Fields:
        if self.state != "float tensor":
            raise InputError(
                "The transform does not end in floats from 0 to 1. "
                "Add ToTensor(), or ToDtype(torch.float32, scale=True)."
            )
        if self.size is None:
            raise InputError(
                "The transform leaves the input size to the photo. "
                "Add CenterCrop(size), or Resize((height, width))."
            )
        return Fields(
            input_size=self.size,
            resize=self.resize,
            crop="squash" if isinstance(self.resize, tuple) else "center",
            interpolation=self.interpolation,
            mean=self.mean or (0.0,) * self.channels,
            std=self.std or (1.0,) * self.channels,
            greyscale=self.greyscale,
            source="torchvision transforms",
        )

    def _resize(self, step: Any) -> None:
        if self.resize is not None or self.size is not None:
            _refuse(step, "it comes after another Resize or CenterCrop")
        if step.size is None or getattr(step, "max_size", None) is not None:
            _refuse(step, "max_size is not supported")
        self.resize = _sides(step.size)
        self.interpolation = _interpolation(step.interpolation)
        if isinstance(self.resize, tuple):
            self.size = self.resize
        if self.state == "pil":
            return
        # torchvision resizes tensors by its own code. By our measurement it stays, with antialias, within one grey
        # level of Pillow's, except that bicubic floats overshoot below black and above white.
        smooth = ("bilinear", "bicubic") if self.state == "uint8 tensor" else ("bilinear",)
        if self.interpolation not in smooth or not getattr(step, "antialias", True):
            _refuse(
                step, f"on a {self.state} it differs from resizing the photo; put it before the conversion"
            )

    def _crop(self, step: Any) -> None:
        if self.cropped:
            _refuse(step, "it comes after another CenterCrop")
        size = _sides(step.size)
        self.size = (size, size) if isinstance(size, int) else size
        self.cropped = True

    def _grey(self, step: Any) -> None:
        if self.state != "pil":
            _refuse(step, "tensors become grey by another formula; put it before the conversion to a tensor")
        self.greyscale = "before" if self.resize is None else "after"
        self.channels = int(step.num_output_channels)

    def _to_tensor(self, step: Any) -> None:
        if self.state == "pil":
            self.state = "uint8 tensor"

    def _to_float(self, step: Any) -> None:
        self.state = "float tensor"

    def _to_dtype(self, step: Any) -> None:
        kind = str(step.dtype)
        if self.state == "pil":
            _refuse(step, "it does nothing to a photo; put ToImage() or PILToTensor() before it")
        if kind == "torch.uint8" and self.state == "uint8 tensor":
            return
        if kind != "torch.float32":
            _refuse(step, "expected torch.float32")
        if not getattr(step, "scale", True):
            _refuse(step, "expected scale=True, so that values are from 0 to 1")
        self.state = "float tensor"

    def _normalise(self, step: Any) -> None:
        if self.state != "float tensor":
            _refuse(step, "the values are not yet floats from 0 to 1; put ToTensor() before it")
        self.mean, self.std = self._per_channel(step, step.mean), self._per_channel(step, step.std)

    def _per_channel(self, step: Any, values: Any) -> tuple[float, ...]:
        # In torchvision one value may stand for all channels.
        given = np.atleast_1d(np.asarray(values, dtype=float))
        if given.shape not in ((1,), (self.channels,)):
            _refuse(step, f"the picture has {self.channels} channel(s) at this point")
        return tuple(np.broadcast_to(given, self.channels).tolist())


def _refuse(step: Any, reason: str) -> NoReturn:
    raise InputError(
        f"Cannot translate the transform's step {step!r}: {reason}. "
        "Or describe the preprocessing by hand: Preprocessing(input_size=..., resize=..., mean=..., std=...)."
    )


def _sides(size: int | Sequence[int]) -> int | tuple[int, int]:
    """Read a size of torchvision: s or [s] is the shorter side, [h, w] is (height, width)."""
    sides = [size] if isinstance(size, int) else [int(side) for side in size]
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _interpolation(mode: Any) -> Interpolation:
    """Read an InterpolationMode, its name, or Pillow's number."""
    value = getattr(mode, "value", mode)
    name = Image.Resampling(value).name.lower() if isinstance(value, int) else str(value)
    # Pillow's "nearest" is what torchvision calls "nearest-exact".
    return check_interpolation("nearest" if name == "nearest-exact" else name)


def check_interpolation(name: str) -> Interpolation:
    """Give the name back if it is valid.

    Raises:
        InputError: it is not one of Pillow's filters.
    """
    valid = get_args(Interpolation)
    if name not in valid:
        raise InputError(
            f"There is no interpolation {name!r}.{nearest(name, valid)} Valid: {', '.join(valid)}."
        )
    return cast("Interpolation", name)
