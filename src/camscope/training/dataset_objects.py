"""Dataset objects of PyTorch and of whatever else gives pairs of an image and a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from camscope.arrays import to_numpy
from camscope.errors import ImageError, InputError
from camscope.images import to_photo
from camscope.training.labelled import LIMIT, LabelledImages, Picked, Skipped, check_limit
from camscope.training.labelling import label, listed

_TRIALS = 4
"""How often the first image is read to see whether it is always the same."""


def is_dataset(given: Any) -> bool:
    """Whether an object has a length and items."""
    return hasattr(given, "__len__") and hasattr(given, "__getitem__") and not isinstance(given, (str, bytes))


def read_dataset(
    dataset: Any, *, classes: Sequence[str] | None = None, unreadable: float = LIMIT
) -> LabelledImages:
    """Read the labels of a dataset object; its images are read when they are needed.

    Args:
        dataset: has a length, and items that are pairs of an image (PIL, array `height width channel`, tensor
            `channel height width`, or path) and a label; or dictionaries with ``image`` and ``label``. A label is a
            class's number or name; or several, as a list of them or as a vector of zeros and ones.
        classes: the classes, in order; None takes the dataset's own ``classes``, or all there are in natural order.
        unreadable: the share of items that may be unreadable.

    Raises:
        InputError: an item is none of these, too many cannot be read, or the images are other ones each time.
    """
    name = type(dataset).__name__
    if not len(dataset):
        raise InputError(f"The {name} has no items.")
    images = DatasetImages(dataset)
    given, lost = _labels(images)
    check_limit(lost, len(dataset), unreadable)
    _check_same(images, next(iter(given)))
    names = tuple(classes) if classes is not None else _own_classes(dataset)
    places = [images.name(i) for i in given]
    words = [_words(one, names, place) for one, place in zip(given.values(), places, strict=True)]
    several = [isinstance(one, (list, dict)) for one in given.values()]
    if any(several) != all(several):
        raise InputError(
            f"The {name} has one label for {places[several.index(False)]} and several for "
            f"{places[several.index(True)]}; expected one kind of label: a list for each item, or one label for each."
        )
    labelling = label(words, places, names, f"the {name}")
    return LabelledImages(
        sources=Picked(images, list(given)),
        names=tuple(places),
        classes=labelling.classes,
        targets=labelling.targets,
        multilabel=several[0],
        skipped=tuple(lost),
        notes=labelling.notes,
        origin=f"a {name} of {len(words)} items",
    )


class DatasetImages(Sequence[Any]):
    """The images of a dataset object, read one by one; in a form that `camscope.images.to_photo` takes."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, index: int) -> str:
        """What an item is called."""
        return f"{type(self.dataset).__name__}[{index}]"

    def pair(self, index: int) -> tuple[Any, Any]:
        """Image and label of an item.

        Raises:
            ImageError: the dataset cannot read it.
            InputError: it is no pair.
        """
        try:
            item = self.dataset[index]
        except Exception as error:  # a dataset may raise anything where a file is damaged
            raise ImageError(f"{self.name(index)} cannot be read: {type(error).__name__}: {error}") from error
        if isinstance(item, Mapping):
            found = [item[key] for key in ("image", "img", "label", "labels") if key in item]
            if len(found) == 2:
                return found[0], found[1]
        elif isinstance(item, Sequence) and not isinstance(item, str) and len(item) >= 2:
            return item[0], item[1]
        keys = f"a dictionary of {listed(list(item))}" if isinstance(item, Mapping) else ""
        raise InputError(
            f"{self.name(index)} is {keys or f'a {type(item).__name__}'}, expected a pair (image, label), or a "
            "dictionary with 'image' and 'label'."
        )

    def __getitem__(self, index: Any) -> Any:
        """The image of an item.

        Raises:
            ImageError, InputError: see `pair`.
        """
        image = self.pair(index)[0]
        if not hasattr(image, "detach"):
            return image
        values = to_numpy(image)  # of a tensor, whose channels come first
        return np.moveaxis(values, 0, -1) if values.ndim == 3 else values


def _check_same(images: DatasetImages, index: int) -> None:
    """Refuse a dataset that changes its images by chance: their changes could not be repeated.

    Raises:
        InputError: it does, or its images are none.
    """
    seen = [np.asarray(to_photo(images[index]).pixels) for _ in range(_TRIALS)]
    if not all(np.array_equal(seen[0], other) for other in seen[1:]):
        raise InputError(
            f"{images.name(index)} is another image each time it is read. Take the random transforms out of the "
            "dataset: training changes the images itself, by the seed, and judges by unchanged ones."
        )


def _labels(images: DatasetImages) -> tuple[dict[int, Any], list[Skipped]]:
    """The label of each item, from where the dataset keeps them if items agree, or else item by item."""
    kept = _kept_labels(images.dataset)
    tried, _ = _read_labels(images, sorted({0, len(images) // 2, len(images) - 1}))
    if kept is not None and tried and all(_plain(kept[i]) == given for i, given in tried.items()):
        return {i: _plain(one) for i, one in enumerate(kept)}, []
    return _read_labels(images, range(len(images)))


def _read_labels(images: DatasetImages, indices: Iterable[int]) -> tuple[dict[int, Any], list[Skipped]]:
    read: dict[int, Any] = {}
    lost: list[Skipped] = []
    for index in indices:
        try:
            read[index] = _plain(images.pair(index)[1])
        except ImageError as error:
            lost.append(Skipped(images.name(index), str(error)))
    return read, lost


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
