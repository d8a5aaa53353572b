"""Which images a model is trained on, and which it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from camscope.errors import InputError, keyword
from camscope.training.labelled import LabelledImages
from camscope.training.stratifying import deal, draw, stratify


@dataclass(frozen=True, eq=False)
class Split:
    """A split of labelled images.

    Attributes:
        train: the numbers of the images to train on, ascending.
        val: the numbers of those that are held out, ascending.
        how: how they were chosen.
        notes: what a person should know, such as classes without a held-out image.
    """

    train: Int[np.ndarray, " train"]
    val: Int[np.ndarray, " val"]
    how: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name, as JSON can hold them."""
        return {
            "how": self.how,
            "train": self.train.tolist(),
            "val": self.val.tolist(),
            "notes": list(self.notes),
        }


def split(
    labelled: LabelledImages,
    *,
    holdout: float = 0.2,
    folds: int | None = None,
    fold: int = 0,
    seed: int = 0,
) -> Split:
    """Split images so that both parts have every class in proportion.

    Where the data says itself which images are held out (train/ and val/), it is followed.

    Args:
        labelled: the images.
        holdout: the share that is held out.
        folds: the number of folds, one of which is held out instead of a share.
        fold: which, from 0.
        seed: of the choice.

    Raises:
        InputError: a number is out of its range, a part would be empty, or a class has too few images for folds.
    """
    if labelled.parts is not None:
        return _as_given(labelled, folds)
    _check(len(labelled), holdout, folds, fold)
    if folds is not None:
        _check_folds(labelled, folds)
        fold_of = (
            stratify(labelled.targets, [1 / folds] * folds, seed)
            if labelled.multilabel
            else deal(labelled.labels, folds, seed)
        )
        return _split(labelled, fold_of == fold, f"fold {fold} of {folds}, stratified, seed {seed}")
    held = (
        stratify(labelled.targets, [1 - holdout, holdout], seed) == 1
        if labelled.multilabel
        else draw(labelled.labels, holdout, seed)
    )
    return _split(labelled, held, f"{holdout:.4g} held out, stratified, seed {seed}")


def _as_given(labelled: LabelledImages, folds: int | None) -> Split:
    if folds is not None:
        raise InputError(
            f"{labelled.origin} says itself what is held out (val/), so there are no folds. For folds, put all images "
            "into one folder for each class, without train/ and val/."
        )
    return _split(labelled, np.array([part == "val" for part in labelled.parts or ()]), "as the data says")


def _split(labelled: LabelledImages, held: np.ndarray, how: str) -> Split:
    parts = {"train": np.flatnonzero(~held), "val": np.flatnonzero(held)}
    for name, part in parts.items():
        if not len(part):
            raise InputError(
                f"The split ({how}) of {len(labelled)} images leaves none for {name}. Hold out another share, "
                "or add images."
            )
    notes = []
    for name, verb in (("train", "learnt from"), ("val", "judged by")):
        counts = labelled.targets[parts[name]].sum(0)
        absent = [c for c, count in zip(labelled.classes, counts, strict=True) if not count]
        if absent:
            listed = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            notes.append(f"no image to be {verb}: {listed}")
    return Split(parts["train"], parts["val"], how, tuple(notes))


def _check(images: int, holdout: float, folds: int | None, fold: int) -> None:
    if folds is None and not 0 < holdout < 1:
        raise InputError(f"holdout is the share that is held out, between 0 and 1; got {holdout}.")
    if folds is not None and not 2 <= folds <= images:
        raise InputError(f"folds is from 2 to the number of images, {images}; got {folds}.")
    if folds is not None and not 0 <= fold < folds:
        raise InputError(f"fold is from 0 to {folds - 1}; got {fold}.")


def _check_folds(labelled: LabelledImages, folds: int) -> None:
    single = [name for name, count in labelled.counts.items() if count == 1]
    if single and not labelled.multilabel:
        raise InputError(
            f"Of {', '.join(map(repr, single[:5]))} there is one image: with {folds} folds it is either never "
            "trained on or never judged by. Add images, leave the class out, or hold out a share instead "
            f"({keyword('holdout', 0.2)})."
        )
