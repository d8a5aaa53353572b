"""One way in: what a person has, as labelled images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camscope.errors import InputError, keyword, nearest
from camscope.training.dataset_objects import is_dataset, read_dataset
from camscope.training.image_folders import read_folder
from camscope.training.labelled import LIMIT, LabelledImages
from camscope.training.sample_sets import SAMPLE_PREFIX, read_sample_set
from camscope.training.table_files import SUFFIXES
from camscope.training.tables import TableOptions, read_table


def read_labelled(
    data: Any,
    *,
    images: str | os.PathLike[str] | None = None,
    path: str | None = None,
    column: str | None = None,
    labels: str | None = None,
    separator: str | None = None,
    classes: Sequence[str] | None = None,
    unreadable: float = LIMIT,
) -> LabelledImages:
    """Read the labels of images, whatever holds them. Their pixels are read when they are needed.

    Args:
        data: a folder with a folder for each class, perhaps in train/ and val/; a CSV, TSV or Parquet table; a dataset
            object; a sample set (``sample:digits``, see `camscope.training.sample_sets.SAMPLE_SETS`); or labelled
            images, which are given back.
        images: of a table: the folder that paths are relative to; None is the table's own.
        path: of a table: the path of an image, made of columns: ``{ID}.jpg``.
        column: of a table: the column of paths, instead; None is the one that names files that exist.
        labels: of a table: the column of labels; None is the one that is called so.
        separator: of a table: what stands between the labels of an image that may have several.
        classes: the classes, in the order of the model's outputs; None takes all there are.
        unreadable: the share of images that may be missing, or without a label.

    Raises:
        InputError: it is none of these, an option means nothing for it, a label is not in the list, or all images are
            of one class.
        MissingExtraError, MissingPackageError: what reads it is not installed.
    """
    options = {"images": images, "path": path, "column": column, "labels": labels, "separator": separator}
    for_tables = [keyword(name) for name, value in options.items() if value is not None]
    file = Path(data) if isinstance(data, (str, os.PathLike)) else None
    if file is not None and file.suffix.lower() in SUFFIXES and not file.is_dir():
        folder = None if images is None else Path(images)
        return _checked(
            read_table(file, TableOptions(folder, path, column, labels, separator, classes, unreadable))
        )
    if for_tables:
        raise InputError(
            f"{', '.join(for_tables)} is for tables ({', '.join(SUFFIXES)}), not for {_what(data)}."
        )
    if isinstance(data, str) and data.startswith(SAMPLE_PREFIX):
        if classes is not None:
            raise InputError(f"{data} has classes of its own; leave {keyword('classes')} out.")
        return read_sample_set(data)
    if file is not None and file.is_dir():
        return _checked(read_folder(file, classes=classes))
    if isinstance(data, LabelledImages):
        return _checked(data)
    if file is None and is_dataset(data):
        return _checked(read_dataset(data, classes=classes, unreadable=unreadable))
    raise InputError(_no_data(data, file))


def _checked(labelled: LabelledImages) -> LabelledImages:
    """Refuse images that are all of one class."""
    present = labelled.targets.any(0)
    if present.sum() < 2 and not labelled.multilabel:
        only = labelled.classes[int(present.argmax())]
        raise InputError(
            f"All {len(labelled)} images of {labelled.origin} are of one class, {only!r}: there is nothing to tell "
            "apart. Add images of what it is not, as a second class."
        )
    return labelled


def _what(data: Any) -> str:
    return repr(data) if isinstance(data, (str, os.PathLike)) else f"a {type(data).__name__}"


def _no_data(data: Any, file: Path | None) -> str:
    kinds = (
        "Data is a folder with a folder for each class (perhaps in train/ and val/), a table "
        f"({', '.join(SUFFIXES)}), a dataset of pairs (image, label), or a sample set such as 'sample:digits'."
    )
    if file is None:
        return f"A {type(data).__name__} has no labelled images. {kinds}"
    if file.exists():
        return f"'{file}' is a file, and no table. {kinds}"
    near = next(parent for parent in file.absolute().parents if parent.is_dir())
    beside = sorted(one.name for one in near.iterdir()) if near == file.absolute().parent else []
    hint = nearest(file.name, beside)
    return f"There is no '{file}'; the folder '{near}' exists.{hint} {kinds}"
