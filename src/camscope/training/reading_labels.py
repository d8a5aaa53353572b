"""One way in: what a person has, as labelled images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camscope.errors import InputError
from camscope.training.image_folders import read_folder
from camscope.training.labelled import LIMIT, LabelledImages
from camscope.training.sample_sets import SAMPLE_PREFIX, read_sample_set


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
    """Read images and labels, whatever holds them. Pixels are read later, when they are needed."""
    if isinstance(data, LabelledImages):
        return data
    if isinstance(data, str) and data.startswith(SAMPLE_PREFIX):
        return read_sample_set(data)
    if isinstance(data, (str, os.PathLike)) and Path(data).is_dir():
        return read_folder(Path(data), classes=classes)
    raise InputError(f"{data!r} is no folder, table, dataset or sample set.")
