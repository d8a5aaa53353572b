"""Turns what a user gives into a batch: photos are preprocessed, tensors are taken as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from camscope.arrays import with_array_api
from camscope.errors import InputError, nearest
from camscope.images import Photo, Preprocessing, to_photo
from camscope.inputs.input_images import (
    InputImages,
    images_of_batch,
    images_of_photos,
    images_of_pictures,
    images_of_signals,
    images_of_texts,
)
from camscope.inputs.prepared_photos import PreparedPhotos
from camscope.inputs.sounds import images_of_heard, prepare_sounds
from camscope.inputs.token_numbers import BESIDE_TOKENS, are_texts, read, refuse_unread, texts_of_tokens
from camscope.libraries.info import SAY_PREPROCESSING, ModelInfo, Prepared
from camscope.models.axes import check_space
from camscope.models.batch import Batch
from camscope.signals import refuse_sound


@dataclass(frozen=True)
class Inputs:
    """A batch and what a person looks at for each of its inputs.

    Attributes:
        batch: the user's tensors, or photos preprocessed into a NumPy array.
        input_images: the pictures, or the texts.
        preprocessing: the preprocessing of photos; None for a tensor.
        notes: what a reader of the maps should know about how the inputs were read.
        of_photos: whether they were photos, and are prepared correctly.
    """

    batch: Batch
    input_images: InputImages
    preprocessing: Preprocessing | None
    notes: tuple[str, ...] = ()
    of_photos: bool = False


IsTensor: TypeAlias = Callable[[Any], bool]
"""Tells whether a value is a tensor of the model's framework; a NumPy array is, for ONNX Runtime, not for PyTorch."""


def prepare(
    inputs: Any, info: ModelInfo, is_tensor: IsTensor, explained_input: int | str | None = None
) -> Inputs:
    """Turn inputs into a batch.

    Args:
        inputs: a tensor, already preprocessed; or a photo (path, PIL image, array `height width [channel]`), a list
            of photos, or an array of photos `batch height width channel`; or, for a model that takes several
            inputs, a tuple of them by position or a dictionary by keyword. For a model that reads texts: a text, a
            list of texts, or token numbers `batch token` (alone, or in a dictionary with what goes with them). For a
            model that takes sounds: a sound as people have it (see `camscope.signals.to_sound`), or a list of them.
            Or photos that were prepared elsewhere.
        info: says how the model's photos are prepared and its texts are read, or why that is not known.
        is_tensor: tells tensors from photos.
        explained_input: which of several inputs maps are of; None takes the first floating-point tensor with a channel
            and space, or else the first photo, or else the first token numbers.

    Raises:
        InputError: if the inputs are none of these, a list is empty, or a photo is given to a model whose
            preprocessing is not known.
        ImageError: if a photo cannot be read.
    """
    if isinstance(inputs, PreparedPhotos):
        made = Batch.of_usual(inputs.array, info.space)
        return Inputs(made, inputs.images, info.preprocessing, of_photos=True)
    if info.texts is not None and isinstance(inputs, (list, tuple)) and not inputs:
        raise InputError("The list of texts is empty.")
    if info.texts is not None and are_texts(inputs):
        found = read(inputs, info.texts)
        positional = found.explained_input == 0
        call = Batch((found.inputs[0],)) if positional else Batch((), found.inputs, found.explained_input)
        return Inputs(call, images_of_texts(found.texts), None, found.notes)
    if info.sounds is not None:
        heard = prepare_sounds(inputs, info, is_tensor)
        if heard is not None:
            batch, signals, notes = heard
            return Inputs(batch, images_of_signals(signals), None, notes)
    given = _Preparation(info, is_tensor).of(inputs, explained_input)
    if given.batch.of_tokens:
        texts = texts_of_tokens(given.batch, inputs, info.texts)
        return dataclasses.replace(given, input_images=images_of_texts(texts))
    return given


@dataclass(frozen=True)
class _Preparation:
    """Tells the tensors and photos of one model apart, and prepares them."""

    info: ModelInfo
    is_tensor: IsTensor

    def of(self, inputs: Any, explained_input: int | str | None) -> Inputs:
        """Prepare one input, or several of which one is explained."""
        several = self._several(inputs)
        if several is None:
            if explained_input is not None:
                raise InputError(
                    f"explained_input={explained_input!r} is for a model that takes several inputs; one was given."
                )
            return self._one(inputs)
        place = self._place(several, explained_input)
        one = self._one(several[place])
        if isinstance(inputs, Mapping):
            call = Batch((), {**several, place: one.batch.given}, place, one.batch.space_axes)
        else:
            args = tuple(one.batch.given if i == place else value for i, value in several.items())
            call = Batch(args, {}, place, one.batch.space_axes)
        return dataclasses.replace(one, batch=call)

    def _several(self, inputs: Any) -> dict[Any, Any] | None:
        """Several inputs by name or position; None if there is a single one (or a list of photos)."""
        if isinstance(inputs, Mapping):
            return dict(inputs)
        if isinstance(inputs, tuple) and any(self.is_tensor(value) for value in inputs):
            return dict(enumerate(inputs))
        return None

    def _place(self, several: Mapping[Any, Any], explained_input: int | str | None) -> Any:
        """The name or position of the explained input."""
        if explained_input is not None:
            if explained_input not in several:
                raise InputError(
                    f"explained_input={explained_input!r} is none of the inputs: {', '.join(map(repr, several))}."
                    f"{nearest(str(explained_input), list(map(str, several)))}"
                )
            return explained_input
        kinds: tuple[Callable[[Any], bool], ...] = (
            lambda value: self.is_tensor(value) and "float" in str(value.dtype) and value.ndim >= 3,
            lambda value: not self.is_tensor(value) and _is_photo(value),
            lambda value: self.is_tensor(value) and "int" in str(value.dtype) and value.ndim == 2,
        )
        for kind in kinds:
            for name, value in sorted(several.items(), key=lambda entry: entry[0] in BESIDE_TOKENS):
                if kind(value):
                    return name
        shapes = (f"{name!r}: {_shape(value)}" for name, value in several.items())
        raise InputError(
            f"None of the inputs is one that maps could be of (batch, channel, *space): {', '.join(shapes)}."
        )

    def _one(self, inputs: Any) -> Inputs:
        info = self.info
        if not self._from_photos(inputs):
            if info.space is not None:
                check_space(info.space, inputs.shape)
            batch = Batch((with_array_api(inputs),), space_axes=info.space)
            if info.sounds is not None:
                return Inputs(batch, images_of_heard(batch, info.sounds), None)
            return Inputs(batch, images_of_batch(batch.x, info.preprocessing), None)
        for one in _photos(inputs):
            refuse_sound(one)
        if are_texts(inputs):
            refuse_unread(inputs, info)
        photos = [to_photo(photo) for photo in _photos(inputs)]
        if not photos:
            raise InputError("The list of photos is empty.")
        if info.preprocessing is not None:
            made = np.stack([info.preprocessing(photo) for photo in photos])
            return Inputs(
                Batch.of_usual(made, info.space),
                images_of_photos(photos, info.preprocessing),
                info.preprocessing,
                of_photos=True,
            )
        if info.prepare is not None:
            prepared = info.prepare(photos)
            images = images_of_pictures(prepared.pictures, photos, prepared.geometries)
            return Inputs(_call_of(prepared), images, None, of_photos=True)
        if info.unprepared:
            raise InputError(
                f"A photo was given, but how this model's photos are prepared is not known: {info.unprepared}. "
                f"{SAY_PREPROCESSING}"
            )
        raise InputError(
            f"A photo was given, but this model does not say how its photos are prepared. {SAY_PREPROCESSING} "
            "Or give a tensor that is already preprocessed."
        )

    def _from_photos(self, inputs: Any) -> bool:
        """Whether the inputs are photos that must be preprocessed, and not a tensor.

        Raises:
            InputError: if they are neither.
        """
        if isinstance(inputs, (list, tuple)):
            return not inputs or all(self._from_photos(one) for one in inputs) or _refuse_list(inputs)
        if self.is_tensor(inputs):
            return False
        if _is_photo(inputs):
            return True
        raise InputError(
            f"Cannot explain {type(inputs).__name__}: give a tensor (batch, channel, *space), a photo (path, PIL "
            "image, array), or a list of photos."
        )


def _call_of(prepared: Prepared) -> Batch:
    """The call of a model with prepared photos, and with what goes with them."""
    if not prepared.beside:
        return Batch((prepared.batch,))
    return Batch((), {"pixel_values": prepared.batch, **prepared.beside}, "pixel_values")


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if hasattr(value, "shape") else type(value).__name__


def _is_photo(value: Any) -> bool:
    return isinstance(value, (str, Path, np.ndarray, Photo)) or hasattr(value, "convert")


def _refuse_list(inputs: Iterable[Any]) -> bool:
    kinds = sorted({type(one).__name__ for one in inputs})
    raise InputError(
        f"A list may hold photos only, not {', '.join(kinds)}. Stack tensors into one batch (torch.stack, np.stack); "
        "what a model takes as several inputs goes into a tuple, (a, b), or a dictionary by name."
    )


def _photos(inputs: Any) -> list[Any]:
    if isinstance(inputs, np.ndarray) and inputs.ndim == 4:
        if inputs.shape[-1] not in (1, 3, 4) and inputs.shape[1] in (1, 3, 4):
            raise InputError(
                f"The array has shape {inputs.shape}, with its channels first. An array is taken as photos, (batch, "
                "height, width, channel): pass np.moveaxis(x, 1, -1). If it was prepared for the model, pass it as a "
                "tensor: torch.from_numpy(x)."
            )
        return list(inputs)
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
