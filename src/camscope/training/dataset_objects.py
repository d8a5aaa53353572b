"""Dataset objects of PyTorch and of whatever else gives pairs of an image and a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from camscope.arrays import to_numpy
from camscope.errors import ImageError, InputError
from camscope.images import to_photo
from camscope.training.labelled import LabelledImages
from camscope.training.labelling import label, listed

_TRIALS = 4
"""How often the first image is read to see whether it is always the same."""


def is_dataset(given: Any) -> bool:
    """Whether an object has a length and items."""
    return hasattr(given, "__len__") and hasattr(given, "__getitem__") and not isinstance(given, (str, bytes))


def read_dataset(dataset: Any, *, classes: Sequence[str] | None = None) -> LabelledImages:
    """Read the labels of a dataset object; its images are read when they are needed.

    Args:
        dataset: has a length, and items that are pairs of an image (PIL, array `height width channel`, tensor
            `channel height width`, or path) and a label; or dictionaries with ``image`` and ``label``. A label is a
            class's number or name; or several, as a list of them or as a vector of zeros and ones.
        classes: the classes, in order; None takes the dataset's own ``classes``, or all there are in natural order.

    Raises:
        InputError: an item is none of these, or the images are other ones each time they are read.
    """
    name = type(dataset).__name__
    if not len(dataset):
        raise InputError(f"The {name} has no items.")
    images = DatasetImages(dataset)
    _check_same(images, name)
    names = tuple(classes) if classes is not None else _own_classes(dataset)
    given = [_plain(one) for one in _labels(dataset)]
    words = [_words(one, names, f"{name}[{i}]") for i, one in enumerate(given)]
    several = [isinstance(one, (list, dict)) for one in given]
    if any(several) != all(several):
        raise InputError(
            f"The {name} has one label for {name}[{several.index(False)}] and several for "
            f"{name}[{several.index(True)}]; expected one kind of label: a list for each item, or one label for each."
        )
    places = tuple(f"{name}[{i}]" for i in range(len(words)))
    labelling = label(words, places, names, f"the {name}")
    return LabelledImages(
        sources=images,
        names=places,
        classes=labelling.classes,
        targets=labelling.targets,
        multilabel=several[0],
        notes=labelling.notes,
        origin=f"a {name} of {len(words)} items",
    )


class DatasetImages(Sequence[Any]):
    """The images of a dataset object, read one by one; in a form that `camscope.images.to_photo` takes."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        """The image of an item.

        Raises:
            ImageError: the dataset cannot read it.
        """
        name = f"{type(self._dataset).__name__}[{index}]"
        try:
            item = self._dataset[index]
        except Exception as error:  # a dataset may raise anything where a file is damaged
            raise ImageError(f"{name} cannot be read: {type(error).__name__}: {error}") from error
        image = _pair(item, name)[0]
        if not hasattr(image, "detach"):
            return image
        values = to_numpy(image)  # of a tensor, whose channels come first
        return np.moveaxis(values, 0, -1) if values.ndim == 3 else values


def _pair(item: Any, name: str) -> tuple[Any, Any]:
    """Image and label of an item."""
    if isinstance(item, Mapping):
        found = [item[key] for key in ("image", "img", "label", "labels") if key in item]
        if len(found) == 2:
            return found[0], found[1]
    elif isinstance(item, Sequence) and not isinstance(item, str) and len(item) >= 2:
        return item[0], item[1]
    what = (
        f"a dictionary of {listed(list(item))}" if isinstance(item, Mapping) else f"a {type(item).__name__}"
    )
    raise InputError(
        f"{name} is {what}, expected a pair (image, label), or a dictionary with 'image' and 'label'."
    )


def _check_same(images: DatasetImages, name: str) -> None:
    """Refuse a dataset that changes its images by chance: their changes could not be repeated.

    Raises:
        InputError: it does, or its images are none.
    """
    seen = [np.asarray(to_photo(images[0]).pixels) for _ in range(_TRIALS)]
    if not all(np.array_equal(seen[0], other) for other in seen[1:]):
        raise InputError(
            f"{name}[0] is another image each time it is read. Take the random transforms out of the dataset: training "
            "changes the images itself, by the seed, and judges by unchanged ones."
        )


def _labels(dataset: Any) -> Sequence[Any]:
    """The label of every item: from where the dataset keeps them, if items agree, or else item by item."""
    kept = _kept_labels(dataset)
    tried = {0, len(dataset) // 2, len(dataset) - 1}
    if kept is not None and all(_plain(kept[i]) == _plain(_label(dataset, i)) for i in tried):
        return kept
    return [_label(dataset, i) for i in range(len(dataset))]


def _label(dataset: Any, index: int) -> Any:
    return _pair(dataset[index], f"{type(dataset).__name__}[{index}]")[1]


def _kept_labels(dataset: Any) -> Sequence[Any] | None:
    """Labels without images, as torchvision's datasets and their subsets have them; None if there are none."""
    if hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        whole = _kept_labels(dataset.dataset)
        return None if whole is None else [whole[i] for i in dataset.indices]
    for name in ("targets", "labels"):
        kept: Any = getattr(dataset, name, None)
        if is_dataset(kept) and len(kept) == len(dataset):
            return cast("Sequence[Any]", kept)
    return None


def _own_classes(dataset: Any) -> tuple[str, ...] | None:
    """The names of a dataset's classes, in the order of their numbers; None if it has none."""
    names = getattr(dataset, "classes", None)
    if names is None and hasattr(dataset, "dataset"):
        return _own_classes(dataset.dataset)
    if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(n, str) for n in names):
        return tuple(names)
    return None


def _plain(label: Any) -> Any:
    """A label as a number or a word; several as a list of them, or as a dictionary of the place of each that is set."""
    if hasattr(label, "tolist"):
        label = label.tolist()
        if isinstance(label, list):
            return dict(enumerate(label))
    return list(label) if isinstance(label, (tuple, set, frozenset)) else label


def _words(label: Any, names: Sequence[str] | None, place: str) -> list[str]:
    if isinstance(label, dict):
        if not set(label.values()) <= {0, 1} or (names is not None and len(label) != len(names)):
            raise InputError(
                f"{place} has the label {list(label.values())}, expected a zero or a one for each class"
                f"{f' ({len(names)})' if names is not None else ''}."
            )
        return [_word(number, names, place) for number, has in label.items() if has]
    if isinstance(label, list):
        return [_word(one, names, place) for one in label]
    return [_word(label, names, place)]


def _word(label: Any, names: Sequence[str] | None, place: str) -> str:
    if isinstance(label, str):
        return label.strip()
    if not isinstance(label, (int, float)) or label != int(label) or label < 0:
        raise InputError(f"{place} has the label {label!r}, expected a class's number (from 0) or its name.")
    if names is None:
        return str(int(label))
    if label >= len(names):
        raise InputError(
            f"{place} has the label {label}, but there are {len(names)} classes, 0 to {len(names) - 1}."
        )
    return names[int(label)]
