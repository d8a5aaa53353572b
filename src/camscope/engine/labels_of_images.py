"""What images are labelled as, beside what the model says of them: a map of a wrong answer is to be read as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camscope.engine.judging import class_indices, mistakes
from camscope.engine.looking import FOLDERS
from camscope.errors import InputError, TargetError, keyword, nearest
from camscope.results import Explanation
from camscope.results.saving import summary

Labels = Sequence[Any] | str | None
"""Of each image a class index or name; `FOLDERS` for the names of the folders that they lie in; None for none."""


def check_labels(labels: Labels, count: int) -> None:
    """Refuse labels that are not one for each image, before any work.

    Raises:
        InputError: saying what is expected.
    """
    if labels is None or (isinstance(labels, str) and labels == FOLDERS):
        return
    if isinstance(labels, str) or not hasattr(labels, "__len__"):
        raise InputError(
            f"{keyword('labels', labels)}: expected one for each image, such as ['tabby'], or {FOLDERS!r} for the "
            f"names of the folders that they lie in.{nearest(str(labels), [FOLDERS])}"
        )
    if len(labels) != count:
        raise InputError(f"{len(labels)} labels for {count} images: expected one for each.")


def labelled(e: Explanation, labels: Labels) -> tuple[Explanation, list[str]]:
    """An explanation that knows the labels, and what the model says of each image that it gets wrong; "" of others.

    Args:
        e: explained.
        labels: as the user gave them.

    Raises:
        TargetError: if one is no class of the model.
        InputError: if the model has no classes of the whole image.
    """
    right = [""] * len(e)
    if labels is None:
        return e, right
    by_folder = isinstance(labels, str)
    told = _folders(e) if by_folder else list(labels)
    try:
        indices = class_indices(told, _classes(e), e.class_names)
    except (TargetError, InputError) as error:
        if not by_folder:
            raise
        note = f"The names of the folders were not taken for labels. {error}"
        return dataclasses.replace(e, notes=(*e.notes, note)), right
    return e, mistakes(e, indices)


def _classes(e: Explanation) -> int:
    if e.provenance["task"] == "regression" or len(e.logits.shape) != 2 or e.probabilities is None:
        raise InputError(
            "Labels are for models with classes of the whole image, and this model has none: leave them out."
        )
    return int(e.logits.shape[1])


def _folders(e: Explanation) -> list[str]:
    """The name of the folder that each image lies in."""
    sources = [summary(e, image)["source"] for image in range(len(e))]
    if missing := [number for number, source in enumerate(sources) if source is None]:
        raise InputError(f"Image {missing[0]} was read from no file, so it lies in no folder.")
    return [Path(source).absolute().parent.name for source in sources]
