"""Image processors of Hugging Face's kind: translated where that is exact, else run, and undone as it was measured."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError
from camscope.images import Measured, Photo, Preprocessing, measure
from camscope.libraries.info import ModelInfo, Prepared

_TRIED = ((301, 404), (404, 301))
"""Sizes of photos, (height, width), that a processor is tried on."""

_KEPT = 32
"""Sizes of photos whose geometry is kept."""


def with_processor(info: ModelInfo, processor: Any, model: Any) -> ModelInfo:
    """The info of a model with how a processor prepares its photos.

    Args:
        info: what is known of the model.
        processor: an image processor, or a processor with one in it.
        model: of any framework; one whose forward takes a `pixel_mask` is told what is padding.

    Raises:
        InputError: if it is neither translated nor does it only resize, crop and pad.
    """
    processor = getattr(processor, "image_processor", processor)
    if hasattr(processor, "max_num_patches") and info.caption_decoder is not None:
        words = "Photos are resized to a square of patches, where the model's own processor keeps their proportions."
        return dataclasses.replace(info, preprocessing=_in_a_square(processor), note=words)
    with contextlib.suppress(InputError):  # then it is run
        return dataclasses.replace(info, preprocessing=Preprocessing.from_huggingface(processor), note="")
    forward = getattr(model, "forward", None)
    masked = forward is not None and "pixel_mask" in inspect.signature(forward).parameters
    run = _Processor(processor, masked)
    try:
        sizes = {run.measured(size).geometry.input_size for size in _TRIED}
    except InputError as error:
        raise InputError(
            f"What the {type(processor).__name__} does to a photo cannot be undone: {error}. Give the model tensors: "
            "processor(photo, return_tensors='pt')['pixel_values']"
        ) from error
    return dataclasses.replace(
        info, preprocessing=None, prepare=run.prepare, keeps_sizes=len(sizes) > 1, unprepared="", note=""
    )


def _in_a_square(processor: Any) -> Preprocessing:
    """How photos are prepared for SigLIP 2 of any shape: as a square of as many patches as its processor makes.

    The processor keeps the proportions of each photo; here all photos of a batch have one size.

    Args:
        processor: a `Siglip2ImageProcessor`.
    """
    side = int(processor.max_num_patches**0.5) * processor.patch_size
    return Preprocessing(
        (side, side),
        resize=(side, side),
        crop="squash",
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        source="its image processor, in a square",
    )


class _Processor:
    """Prepares photos by a processor, one by one, so that none is padded to the size of another.

    Args:
        processor: see `with_processor`.
        masked: whether the model takes a mask of what is no padding.
    """

    def __init__(self, processor: Any, masked: bool) -> None:
        self._processor = processor
        self._masked = masked
        self.measured = functools.lru_cache(_KEPT)(self._measure)

    def prepare(self, photos: Sequence[Photo]) -> Prepared:
        """Prepare photos, which must give inputs of one size.

        Raises:
            InputError: if they give inputs of several sizes.
        """
        pictures = [photo.pixels.convert("RGB") for photo in photos]
        made = [self._run(picture) for picture in pictures]
        sizes = {one["pixel_values"].shape for one in made}
        if len(sizes) > 1:
            written = ", ".join("×".join(map(str, size[2:])) for size in sorted(sizes))
            raise InputError(
                f"The {self._name} makes inputs of several sizes of these photos ({written}), and a batch has one. "
                "Give them one by one, or in the same size."
            )
        found = [self.measured(photo.size) for photo in photos]
        for photo, picture, one, arrays in zip(photos, pictures, found, made, strict=True):
            try:
                one.check(picture, np.asarray(arrays["pixel_values"][0], dtype=np.float64))
            except InputError as error:
                raise InputError(
                    f"What the {self._name} does to {photo.source or 'the photo'} cannot be undone: {error}. Give the "
                    "model tensors, processor(photo, return_tensors='pt')['pixel_values']."
                ) from error
        whole = {name: np.concatenate([one[name] for one in made]) for name in made[0]}
        mask = whole.get("pixel_mask")
        return Prepared(
            batch=np.ascontiguousarray(whole["pixel_values"], dtype=np.float32),
            pictures=pictures,
            geometries=[one.geometry for one in found],
            # without it a model takes padding for something to look at
            beside={} if not self._masked or mask is None or mask.all() else {"pixel_mask": mask},
        )

    @property
    def _name(self) -> str:
        return type(self._processor).__name__

    def _measure(self, size: tuple[int, int]) -> Measured:
        return measure(self._pixels, size)

    def _pixels(self, picture: Any) -> Float[np.ndarray, "channel height width"]:
        return np.asarray(self._run(picture)["pixel_values"][0], dtype=np.float64)

    def _run(self, picture: Any) -> dict[str, np.ndarray]:
        """The arrays that it makes of one photo, by name.

        Raises:
            InputError: if it does not take one, or does not make one picture of it.
        """
        try:
            made: Mapping[str, Any] = self._processor(picture, return_tensors="np")
            arrays = {name: np.asarray(made[name]) for name in ("pixel_values", "pixel_mask") if name in made}
        except Exception as error:  # whatever a processor raises that is for something else than photos
            raise InputError(
                f"the {self._name} does not take a photo ({type(error).__name__}: {error})"
            ) from error
        pixels = arrays.get("pixel_values")
        if pixels is None or pixels.ndim != 4 or pixels.shape[0] != 1 or pixels.shape[1] not in (1, 3):
            shape = "nothing" if pixels is None else f"an array of shape {pixels.shape}"
            raise InputError(
                f"the {self._name} makes {shape} of a photo, where (1, 3, height, width) was expected"
            )
        return arrays
