"""Folders of images: a subfolder for each class, perhaps inside of train/ and val/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from camscope.errors import InputError, nearest
from camscope.images import find_photos, natural_key
from camscope.training.labelled import LabelledImages, in_order

_PARTS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""What the name of a folder says of the images in it."""

_EXPECTED = "Expected a folder for each class with its images in it, or such folders in train/ and val/."


def read_folder(folder: Path, *, classes: Sequence[str] | None = None) -> LabelledImages:
    """Read an image folder: `CLASS/image.jpg`, or `train/CLASS/image.jpg` and `val/CLASS/image.jpg`.

    Args:
        folder: the folder.
        classes: the classes, in order; None takes all there are, in natural order.

    Raises:
        InputError: it is not laid out so, or has a class that is not in the list.
    """
    parts = {_PARTS[name.casefold()]: path for name, path in _folders(folder) if name.casefold() in _PARTS}
    if "train" not in parts:
        return _labelled(folder, {"": folder}, classes, [])
    beside = [name for name, _ in _folders(folder) if name.casefold() not in _PARTS]
    if beside:
        raise InputError(
            f"'{folder}' has train/ and, beside it, {_list(beside)}. {_EXPECTED} Move the others elsewhere."
        )
    notes = [f"{parts['test'].name}/ is left for a test of the finished model"] if "test" in parts else []
    used: dict[str, Path] = {part: parts[part] for part in ("train", "val") if part in parts}
    return _labelled(folder, used, classes, notes)


def _labelled(
    folder: Path,
    parts: Mapping[str, Path],
    classes: Sequence[str] | None,
    notes: list[str],
) -> LabelledImages:
    found: list[tuple[str, str, str]] = []  # path, class, part
    for part, home in parts.items():
        for name, path in _folders(home):
            try:
                found += [(photo, name, part) for photo in find_photos(path)]
            except InputError:
                notes.append(f"the folder '{path.relative_to(folder)}' holds no image and is no class")
        loose = sum(1 for path in home.iterdir() if path.is_file() and not path.name.startswith("."))
        if loose:
            notes.append(f"{loose} file(s) directly in '{home}' belong to no class and are left out")
    if not found:
        raise InputError(f"'{folder}' has no images in folders of classes. {_EXPECTED}")
    names = list(classes) if classes is not None else in_order({label for _, label, _ in found})
    _check_classes(found, names, folder, given=classes is not None)
    at = {name: i for i, name in enumerate(names)}
    targets = np.zeros((len(found), len(names)), dtype=bool)
    targets[np.arange(len(found)), [at[label] for _, label, _ in found]] = True
    both = "val" in parts
    return LabelledImages(
        sources=[path for path, _, _ in found],
        names=tuple(Path(path).relative_to(folder).as_posix() for path, _, _ in found),
        classes=tuple(names),
        targets=targets,
        parts=tuple(part for _, _, part in found) if both else None,
        notes=tuple(notes),
        origin=f"'{folder}'",
    )


def _check_classes(
    found: Sequence[tuple[str, str, str]], names: Sequence[str], folder: Path, *, given: bool
) -> None:
    trained = {label for _, label, part in found if part != "val"}
    for path, label, _ in found:
        if given and label not in names:
            raise InputError(
                f"'{path}' is of class {label!r}, which is not in the list of classes.{nearest(label, names)} "
                f"The list: {_list(names)}."
            )
        if label not in trained:
            raise InputError(
                f"The class {label!r} is in val/ of '{folder}' but not in train/, so it can never be learnt."
                f"{nearest(label, trained)}"
            )
    empty = [name for name in names if name not in {label for _, label, _ in found}]
    if empty:
        raise InputError(f"'{folder}' has no images of {_list(empty)}, which the list of classes names.")


def _folders(folder: Path) -> list[tuple[str, Path]]:
    """Name and path of the folders in a folder, in natural order, without hidden ones."""
    inside = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [
        (path.name, path) for path in sorted(inside, key=lambda path: (natural_key(path.name), path.name))
    ]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(repr(name) for name in names[:8]) + more
