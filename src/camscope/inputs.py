"""From what a user hands over to a batch: photos are preprocessed, tensors are taken as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camscope.errors import InputError, nearest
from camscope.explanation import to_numpy
from camscope.images import Photo, Preprocessing, to_photo
from camscope.libraries import Known
from camscope.models.batch import Batch
from camscope.text_inputs import BESIDE_TOKENS, are_texts, read, refuse_unread, texts_of_tokens
from camscope.views import Views, views_of_batch, views_of_photos, views_of_pictures, views_of_texts


@dataclass(frozen=True)
class Inputs:
    """A batch and what a person looks at for each of its inputs.

    Attributes:
        batch: the user's tensors, or photos preprocessed into a NumPy array.
        views: the pictures.
        preprocessing: what was applied to photos; None for a tensor.
        notes: what a reader of the maps should know of how the inputs were read.
    """

    batch: Batch
    views: Views
    preprocessing: Preprocessing | None
    notes: tuple[str, ...] = ()


def prepare(inputs: Any, known: Known, mapped: int | str | None = None) -> Inputs:
    """Make a batch.

    Args:
        inputs: a tensor, already preprocessed; or a photo (path, PIL image, array `height width [channel]`), a list
            of photos, or an array of photos `batch height width channel`; or, for a model that takes several
            inputs, a tuple of them by position or a dictionary by keyword. For a model that reads texts: a text, a
            list of texts, or token numbers `batch token` (by themselves or with what goes with them).
        known: how the model's photos are prepared or its texts are read, or why that is not known.
        mapped: which of several inputs maps are of; None takes the first floating-point tensor with a channel and
            space, or else the first photo, or else the first of token numbers.

    Raises:
        InputError: for anything else, an empty list, or a photo for a model of unknown preprocessing.
        ImageError: for a photo that cannot be read.
    """
    if known.texts is not None and isinstance(inputs, (list, tuple)) and not inputs:
        raise InputError("The list of texts is empty.")
    if known.texts is not None and are_texts(inputs):
        found = read(inputs, known.texts)
        positional = found.mapped == 0
        call = Batch((found.inputs[0],)) if positional else Batch((), found.inputs, found.mapped)
        return Inputs(call, views_of_texts(found.texts), None, found.notes)
    given = _tensors_or_photos(inputs, known, mapped)
    if given.batch.of_tokens:
        texts = texts_of_tokens(given.batch, inputs, known.texts)
        return dataclasses.replace(given, views=views_of_texts(texts))
    return given


def _tensors_or_photos(inputs: Any, known: Known, mapped: int | str | None) -> Inputs:
    several = _several(inputs)
    if several is None:
        if mapped is not None:
            raise InputError(f"mapped={mapped!r} is for a model that takes several inputs; one was given.")
        return _one(inputs, known)
    place = _place(several, mapped)
    kept = {name: value for name, value in several.items() if name != place}
    one = _one(several[place], known)
    if isinstance(inputs, Mapping):
        return dataclasses.replace(one, batch=Batch((), {**kept, place: one.batch.x}, place))
    args = tuple(one.batch.x if i == place else value for i, value in several.items())
    return dataclasses.replace(one, batch=Batch(args, {}, place))


def _several(inputs: Any) -> dict[Any, Any] | None:
    """Several inputs by name or position; None for a single one (or a list of photos)."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    if isinstance(inputs, tuple) and any(_is_tensor(value) for value in inputs):
        return dict(enumerate(inputs))
    return None


def _place(several: Mapping[Any, Any], mapped: int | str | None) -> Any:
    """Where the input that maps are of is."""
    if mapped is not None:
        if mapped not in several:
            raise InputError(
                f"mapped={mapped!r} is none of the inputs: {', '.join(map(repr, several))}."
                f"{nearest(str(mapped), list(map(str, several)))}"
            )
        return mapped
    kinds: tuple[Callable[[Any], bool], ...] = (
        lambda value: _is_tensor(value) and "float" in str(value.dtype) and value.ndim >= 3,
        lambda value: not _is_tensor(value) and _is_photo(value),
        lambda value: _is_tensor(value) and "int" in str(value.dtype) and value.ndim == 2,
    )
    for kind in kinds:
        for name, value in sorted(several.items(), key=lambda entry: entry[0] in BESIDE_TOKENS):
            if kind(value):
                return name
    shapes = (f"{name!r}: {_shape(value)}" for name, value in several.items())
    raise InputError(
        f"None of the inputs is one that maps could be of (batch, channel, *space): {', '.join(shapes)}."
    )


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if hasattr(value, "shape") else type(value).__name__


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "ndim") and not isinstance(value, np.ndarray)


def _is_photo(value: Any) -> bool:
    return isinstance(value, (str, Path, np.ndarray, Photo)) or hasattr(value, "convert")


def _one(inputs: Any, known: Known) -> Inputs:
    preprocessing = known.preprocessing
    if not _from_photos(inputs):
        x = inputs if known.arrange is None else known.arrange(inputs)
        return Inputs(Batch((x,)), views_of_batch(x, to_numpy, preprocessing), None)
    if are_texts(inputs):
        refuse_unread(inputs, known)
    photos = [to_photo(photo) for photo in _photos(inputs)]
    if not photos:
        raise InputError("The list of photos is empty.")
    if preprocessing is None and known.prepare is not None:
        made = known.prepare(photos)
        return Inputs(Batch((made.batch,)), views_of_pictures(made.pictures, photos), None)
    if preprocessing is None and known.unprepared:
        raise InputError(
            f"A photo was given, but how this model's photos are prepared is not known: {known.unprepared}."
        )
    if preprocessing is None:
        raise InputError(
            "A photo was given, but this model does not say how its photos are prepared. Pass "
            "Explainer(model, preprocessing=…) (a camscope.Preprocessing, or torchvision transforms), or give a "
            "tensor that is already preprocessed."
        )
    return Inputs(
        Batch((np.stack([preprocessing(photo) for photo in photos]),)),
        views_of_photos(photos, preprocessing),
        preprocessing,
    )


def _from_photos(inputs: Any) -> bool:
    """Whether the inputs are photos to be preprocessed, rather than a tensor that already is."""
    if isinstance(inputs, (list, tuple)):
        return not inputs or all(_from_photos(one) for one in inputs) or _refuse_list(inputs)
    if _is_photo(inputs):
        return True
    if _is_tensor(inputs):
        return False
    raise InputError(
        f"Cannot explain {type(inputs).__name__}: give a tensor (batch, channel, *space), a photo (path, PIL image, "
        "array), or a list of photos."
    )


def _refuse_list(inputs: Iterable[Any]) -> bool:
    kinds = sorted({type(one).__name__ for one in inputs})
    raise InputError(
        f"A list may hold photos only, not {', '.join(kinds)}. Stack tensors into one batch: torch.stack(list)."
    )


def _photos(inputs: Any) -> list[Any]:
    if isinstance(inputs, np.ndarray) and inputs.ndim == 4:
        return list(inputs)
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
