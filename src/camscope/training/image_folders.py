"""Folders of images: a subfolder for each class, perhaps inside of train/ and val/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from camscope.errors import InputError, nearest
from camscope.images import find_photos, natural_key
from camscope.training.labelled import LabelledImages
from camscope.training.labelling import label, listed

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


class _Found(NamedTuple):
    path: str
    word: str
    part: str


def read_folder(folder: Path, *, classes: Sequence[str] | None = None) -> LabelledImages:
    """Read an image folder: `CLASS/image.jpg`, or `train/CLASS/image.jpg` and `val/CLASS/image.jpg`.

    Args:
        folder: the folder.
        classes: the classes, in order; None takes all there are, in natural order.

    Raises:
        InputError: it is not laid out so, or has a class that is not in the list or is never trained.
    """
    parts, notes = _parts(folder)
    found: list[_Found] = []
    for part, home in parts.items():
        images, more = _images(folder, home, part)
        found += images
        notes += more
    if not found:
        raise InputError(f"'{folder}' has no images in folders of classes.{_loose(folder)} {_EXPECTED}")
    _check_trained(folder, found)
    labelling = label(
        [[image.word] for image in found], [f"'{image.path}'" for image in found], classes, f"'{folder}'"
    )
    return LabelledImages(
        sources=[image.path for image in found],
        names=tuple(Path(image.path).relative_to(folder).as_posix() for image in found),
        classes=labelling.classes,
        targets=labelling.targets,
        parts=tuple(image.part for image in found) if "val" in parts else None,
        notes=(*notes, *labelling.notes),
        origin=f"'{folder}'",
    )


def _parts(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The folder that holds the classes of each part, and notes about the others.

    Raises:
        InputError: two folders are the same part, or folders of classes stand beside train/.
    """
    inside = _folders(folder)
    named = [path for path in inside if path.name.casefold() in _PARTS]
    parts = {_PARTS[path.name.casefold()]: path for path in named}
    if "train" not in parts:
        return {"train": folder}, []
    if len(parts) < len(named):
        raise InputError(
            f"'{folder}' has {listed([path.name for path in named])}, of which two mean the same."
        )
    if beside := [path.name for path in inside if path not in named]:
        raise InputError(f"'{folder}' has train/ and, beside it, {listed(beside)}. {_EXPECTED}")
    test = parts.pop("test", None)
    return parts, [f"'{test}' is left for a test of the finished model"] if test else []


def _images(folder: Path, home: Path, part: str) -> tuple[list[_Found], list[str]]:
    """The images of one part by class, and notes about what is none."""
    found, notes = [], []
    for path in _folders(home):
        try:
            found += [_Found(photo, path.name, part) for photo in find_photos(path)]
        except InputError:
            notes.append(f"the folder '{path.relative_to(folder)}' holds no image and is no class")
    loose = sum(path.is_file() and not path.name.startswith(".") for path in home.iterdir())
    if loose and found:
        notes.append(f"{loose} file(s) that lie directly in '{home}' belong to no class and are left out")
    return found, notes


def _loose(folder: Path) -> str:
    """What is said of files that lie where folders of classes should be."""
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if not files:
        return ""
    above = folder.absolute().parent
    return (
        f" {len(files)} file(s) lie directly in it: if they are all of one class, the folder to give is '{above}'; if "
        "they are of several, a table says which is which: camscope train labels.csv."
    )


def _check_trained(folder: Path, found: Sequence[_Found]) -> None:
    trained = {image.word for image in found if image.part == "train"}
    if never := sorted({image.word for image in found} - trained):
        raise InputError(
            f"'{folder}' has the class {never[0]!r} in its validation part but not in train/, so it is never learnt."
            f"{nearest(never[0], trained)}"
        )


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, in natural order, without hidden ones."""
    inside = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(inside, key=lambda path: (natural_key(path.name), path.name))
