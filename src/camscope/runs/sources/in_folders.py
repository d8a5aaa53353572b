"""Folders of images; the folder that an image is in is its label."""

from __future__ import annotations

from collections.abc import Iterator

from camscope.images import is_image_name
from camscope.runs.sources.one_input import Input
from camscope.runs.sources.remote_files import walk

_NO_LABELS = {"images", "train", "training", "val", "valid", "validation", "test", "testing"}
"""Names of folders that say nothing of what is seen in an image."""


def images_in(folder: str) -> Iterator[Input]:
    """The images below a folder, in natural order, each labelled by the folder that it is in.

    Args:
        folder: its path or URL.

    Raises:
        InputError: if a folder cannot be listed.
    """
    return (Input(path, label_below(folder, path)) for path in walk(folder) if is_image_name(path))


def label_below(folder: str, path: str) -> str | None:
    """The name of the folder that an image is in; None if that is the folder itself, or is called `train` or so."""
    start = folder.rstrip("/").removeprefix("./")
    inside = path.removeprefix("./")
    parts = (inside[len(start) + 1 :] if start and inside.startswith(start) else inside).split("/")
    return parts[-2] if len(parts) > 1 and parts[-2].casefold() not in _NO_LABELS else None
