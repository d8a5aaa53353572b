"""What a loader yields, told apart: inputs and labels, one batch or a single image after another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from camscope.arrays import to_numpy
from camscope.errors import InputError

_LABELS = ("labels", "label", "y", "target", "targets", "class", "classes")
"""Under these names labels are in a dictionary, the likeliest first."""


@dataclass(frozen=True)
class LabelledBatch:
    """Some inputs, and what they are labelled as.

    Attributes:
        inputs: what an `Explainer` is called with.
        labels: of each image a class index or name, or 0 and 1 for every class; None where there are none.
    """

    inputs: Any
    labels: list[Any] | None


def labelled_batches(
    items: Iterable[Any], size: int, apart: Callable[[Any], tuple[Any, Any]] | None
) -> Iterator[LabelledBatch]:
    """The batches of a loader. Single images are taken together, `size` at a time.

    Args:
        items: yields tensors, (inputs, labels) pairs, dictionaries or photos: batches, or one image after another.
        size: how many single images make a batch.
        apart: tells an item's inputs and labels apart; None looks at what it is.

    Raises:
        InputError: if single images come with labels and without.
    """
    told = (told_apart(item) if apart is None else apart(item) for item in items)
    for single, group in itertools.groupby(told, key=lambda pair: _is_single(*pair)):
        if not single:
            yield from (LabelledBatch(inputs, None if y is None else _rows(y)) for inputs, y in group)
            continue
        while some := list(itertools.islice(group, size)):
            labels = [label for _, label in some if label is not None]
            if 0 < len(labels) < len(some):
                raise InputError(
                    "Some images come with a label, others without. Give labels for all, or none."
                )
            yield LabelledBatch(_together([one for one, _ in some]), [_plain(y) for y in labels] or None)


def told_apart(item: Any) -> tuple[Any, Any]:
    """The inputs and the labels of what a loader yields; None for labels where there are none.

    Args:
        item: a tensor, a photo, a list of photos, a pair or more of which the second is labels, or a dictionary with
            labels under `labels`, `label`, `y`, `target` or the like.
    """
    if isinstance(item, Mapping):
        name = next((name for name in _LABELS if name in item), None)
        rest = {key: value for key, value in item.items() if key != name}
        photos = [value for value in rest.values() if hasattr(_first(value), "convert")]
        labels = None if name is None else item[name]
        alone = photos if len(photos) == 1 else list(rest.values()) if len(rest) == 1 else None
        return (rest if alone is None else alone[0]), labels
    pair = isinstance(item, tuple) or (isinstance(item, list) and hasattr(_first(item), "shape"))
    if pair and len(item) > 1 and _are_labels(item[1], item[0]):
        return item[0], item[1]
    return (item[0], None) if pair and len(item) == 1 else (item, None)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and value else value


def _are_labels(value: Any, inputs: Any) -> bool:
    """Whether something that comes with inputs is their labels, and no other input."""
    if value is None:
        return True
    if isinstance(value, str):
        return not Path(value).suffix or not isinstance(inputs, str)
    if isinstance(value, (int, np.integer)):
        return True
    rows = len(inputs) if hasattr(inputs, "__len__") and not isinstance(inputs, (str, Mapping)) else None
    if isinstance(value, (list, tuple)):
        return len(value) == rows and all(isinstance(one, (int, str, np.integer)) for one in value)
    if not hasattr(value, "dtype"):
        return False
    shape, whole = tuple(value.shape), "float" not in str(value.dtype)
    if len(shape) < 2:
        return whole or (shape in ((), (rows,)) and _are_whole(value))
    if len(shape) > 2 or shape[0] != rows or shape == tuple(getattr(inputs, "shape", ())):
        return False
    numbers = to_numpy(value)
    return bool(((numbers == 0) | (numbers == 1)).all())


def _are_whole(numbers: Any) -> bool:
    """Whether real numbers are class indices, as tables have them and losses of one output take them."""
    values = to_numpy(numbers)
    return bool((values == np.floor(values)).all() and (values >= 0).all())


def _is_photo(value: Any) -> bool:
    return isinstance(value, (str, Path)) or hasattr(value, "convert")


def _is_single(inputs: Any, labels: Any) -> bool:
    """Whether this is one image, and no batch of them."""
    if _is_photo(inputs):
        return True
    if labels is not None:
        return isinstance(labels, str) or not np.ndim(labels)
    # arrays of real numbers with three axes may be a batch of signals
    coloured = isinstance(inputs, np.ndarray) and inputs.ndim == 3 and inputs.shape[2] in (3, 4)
    return coloured or (isinstance(inputs, np.ndarray) and inputs.ndim < 4 and inputs.dtype == np.uint8)


def _together(images: Sequence[Any]) -> Any:
    """Single images as one batch."""
    first = images[0]  # with fastai, pictures of Pillow's have a shape too
    if hasattr(first, "dtype") and not isinstance(first, np.ndarray):
        return array_namespace(first).stack(list(images))
    return list(images)


def _rows(labels: Any) -> list[Any]:
    rows: list[Any] = _plain(labels) if hasattr(labels, "shape") else [_plain(one) for one in labels]
    return rows


def _plain(label: Any) -> Any:
    if not hasattr(label, "shape"):
        return label
    numbers = to_numpy(label)
    whole = numbers.dtype == bool or (numbers.dtype.kind == "f" and _are_whole(numbers))
    return (numbers.astype(int) if whole else numbers).tolist()
