"""What a person should know of the data before a training starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from camscope.training.inspecting import Inspection
from camscope.training.labelled import LabelledImages, Skipped
from camscope.training.splits import Split

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Summary:
    """Classes, counts, and what is odd about the data.

    Attributes:
        origin: what the data was read from.
        multilabel: whether an image may have several classes.
        images: how many there are.
        train: of each class, how many images are trained on.
        val: of each class, how many are held out.
        unlabelled: how many have no class, where that may be.
        imbalance: how many times more images the largest class has than the smallest, of those that have any.
        sizes: the smallest, the median and the largest (height, width), by their area; None if none was read.
        skipped: what was left out, and why.
        duplicates: groups of images that are the same, by name.
        leaks: those of these groups that are both trained on and held out: they flatter the model.
        contradictions: those of these groups that are labelled differently.
        how: how the split was made.
        notes: what else there is to know.
    """

    origin: str
    multilabel: bool
    images: int
    train: dict[str, int]
    val: dict[str, int]
    unlabelled: int
    imbalance: float
    sizes: tuple[Size, Size, Size] | None
    skipped: tuple[Skipped, ...]
    duplicates: tuple[tuple[str, ...], ...]
    leaks: tuple[tuple[str, ...], ...]
    contradictions: tuple[tuple[str, ...], ...]
    how: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name, as JSON can hold them."""
        skipped = [{"name": name, "reason": reason} for name, reason in self.skipped]
        return {**asdict(self), "skipped": skipped}


def summarise(labelled: LabelledImages, split: Split, inspection: Inspection | None = None) -> Summary:
    """Sum up labelled images and their split.

    Args:
        labelled: the images that are used.
        split: of them.
        inspection: of them; None leaves out sizes and duplicates.
    """
    train, val = (
        dict(zip(labelled.classes, labelled.targets[part].sum(0).tolist(), strict=True))
        for part in (split.train, split.val)
    )
    present = [count for count in labelled.counts.values() if count]
    groups = inspection.duplicates if inspection is not None else ()
    held = set(split.val.tolist())
    leaks = [group for group in groups if 0 < len(held.intersection(group)) < len(group)]
    against = [
        group for group in groups if (labelled.targets[list(group)] != labelled.targets[group[0]]).any()
    ]
    return Summary(
        origin=labelled.origin,
        multilabel=labelled.multilabel,
        images=len(labelled),
        train=train,
        val=val,
        unlabelled=int((~labelled.targets.any(1)).sum()),
        imbalance=max(present) / min(present) if present else 1.0,
        sizes=_sizes(inspection),
        skipped=labelled.skipped,
        duplicates=_named(labelled, groups),
        leaks=_named(labelled, leaks),
        contradictions=_named(labelled, against),
        how=split.how,
        notes=(*labelled.notes, *split.notes),
    )


def _named(labelled: LabelledImages, groups: Sequence[tuple[int, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(labelled.names[i] for i in group) for group in groups)


def _sizes(inspection: Inspection | None) -> tuple[Size, Size, Size] | None:
    if inspection is None or not len(inspection.sizes):
        return None
    by_area = inspection.sizes[np.argsort(inspection.sizes.prod(1), kind="stable")].tolist()
    smallest, median, largest = (by_area[at] for at in (0, len(by_area) // 2, -1))
    return tuple(smallest), tuple(median), tuple(largest)
