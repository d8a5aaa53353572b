"""From what a user hands over to a batch: photos are preprocessed, tensors are taken as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camscope.arrays import Array
from camscope.errors import InputError
from camscope.explanation import to_numpy
from camscope.images import Photo, Preprocessing, to_photo
from camscope.views import Views, views_of_batch, views_of_photos


@dataclass(frozen=True)
class Inputs:
    """A batch and what a person looks at for each of its inputs.

    Attributes:
        batch: `batch channel *space`: the user's tensor, or photos preprocessed into a NumPy array.
        views: the pictures.
        preprocessing: what was applied to photos; None for a tensor.
    """

    batch: Array
    views: Views
    preprocessing: Preprocessing | None


def prepare(inputs: Any, preprocessing: Preprocessing | None) -> Inputs:
    """Make a batch.

    Args:
        inputs: a tensor, already preprocessed; or a photo (path, PIL image, array `height width [channel]`), a list
            of photos, or an array of photos `batch height width channel`.
        preprocessing: the model's own, or None if that is not known.

    Raises:
        InputError: for anything else, an empty list, or a photo for a model of unknown preprocessing.
        ImageError: for a photo that cannot be read.
    """
    if not _from_photos(inputs):
        return Inputs(inputs, views_of_batch(inputs, to_numpy, preprocessing), None)
    photos = [to_photo(photo) for photo in _photos(inputs)]
    if not photos:
        raise InputError("The list of photos is empty.")
    if preprocessing is None:
        raise InputError(
            "A photo was given, but this model does not say how its photos are prepared. Pass "
            "Explainer(model, preprocessing=…) (a camscope.Preprocessing, or torchvision transforms), or give a "
            "tensor that is already preprocessed."
        )
    return Inputs(
        np.stack([preprocessing(photo) for photo in photos]),
        views_of_photos(photos, preprocessing),
        preprocessing,
    )


def _from_photos(inputs: Any) -> bool:
    """Whether the inputs are photos to be preprocessed, rather than a tensor that already is."""
    if isinstance(inputs, (list, tuple)):
        return not inputs or all(_from_photos(one) for one in inputs) or _refuse_list(inputs)
    if isinstance(inputs, (str, Path, np.ndarray, Photo)) or hasattr(inputs, "convert"):
        return True
    if hasattr(inputs, "shape") and hasattr(inputs, "ndim"):
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
