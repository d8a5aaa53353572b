"""Labels of images against what a model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from camscope.arrays import to_numpy
from camscope.errors import InputError, TargetError
from camscope.outputs import Task
from camscope.results import Explanation
from camscope.targets import PerImage, class_index, class_name


def class_indices(labels: Sequence[Any], count: int, names: Sequence[str] | None) -> list[Any]:
    """Labels as class indices; of several labels a list of them.

    Args:
        labels: of each image a class index or name, or 0 and 1 for every class.
        count: how many classes the model has.
        names: of these; None if they are not known.

    Raises:
        TargetError: if there is no such class, or as many numbers as classes were expected.
    """
    return [_of_one(label, count, names) for label in labels]


def _of_one(label: Any, count: int, names: Sequence[str] | None) -> Any:
    if not isinstance(label, (list, tuple)):
        return class_index(label, count, names)
    if len(label) != count:
        raise TargetError(f"A label has {len(label)} numbers of 0 and 1; the model has {count} classes.")
    return [i for i, there in enumerate(label) if there]


def targets_of(indices: Sequence[Any]) -> PerImage:
    """The labels as targets.

    Raises:
        TargetError: if images have several numbers of labels, which one table of targets cannot hold.
    """
    counts = sorted({len(one) for one in indices if isinstance(one, list)})
    if counts == [1]:
        return PerImage([one[0] for one in indices])
    if counts and (len(counts) > 1 or counts[0] == 0):
        raise TargetError(
            f"Images have {counts[0]} to {counts[-1]} labels each; of one batch all need as many targets, and at least "
            "one. Explain all classes, targets=camscope.AllClasses(), or single images."
        )
    return PerImage(list(indices))


def mistakes(e: Explanation, indices: Sequence[Any]) -> list[str]:
    """What the label says of each image and what the model says, where these differ; "" where they do not.

    Args:
        e: explained.
        indices: see `class_indices`.
    """
    logits, task = np.asarray(to_numpy(e.logits)), e.provenance["task"]
    right = are_right(logits, indices, task)
    probabilities = None if e.probabilities is None else np.asarray(to_numpy(e.probabilities))
    found = []
    for image, (label, is_right) in enumerate(zip(indices, right, strict=True)):
        several = task == "multilabel" and isinstance(label, list)
        says = np.flatnonzero(logits[image] > 0).tolist() if several else [int(logits[image].argmax())]
        labels = label if isinstance(label, list) else [label]
        said, labelled = (
            " and ".join(class_name(one, e.class_names).partition(",")[0] for one in some) or "nothing"
            for some in (says, labels)
        )
        sure = "" if several or probabilities is None else f" ({100 * probabilities[image].max():.0f} %)"
        found.append("" if is_right else f"by its label this is {labelled}, and the model says {said}{sure}")
    return found


def are_right(
    logits: Float[np.ndarray, "batch class"], indices: Sequence[Any], task: Task
) -> Bool[np.ndarray, " batch"]:
    """Of which images the model says what the labels say.

    The top class is the label; of several labels in a multi-label model exactly those classes are above one half.

    Args:
        logits: of the model.
        indices: see `class_indices`.
        task: what the logits mean.

    Raises:
        InputError: if the model gives no classes, one for each image.
    """
    if task == "regression" or logits.ndim != 2:
        raise InputError(
            "only= 'wrong' and 'right' are for models with classes of the whole image. For others give a function: "
            "only=lambda e: e.scores[:, 0] > 0.5."
        )
    top = logits.argmax(1)
    right = []
    for row, label, best in zip(logits, indices, top.tolist(), strict=True):
        if isinstance(label, list) and task == "multilabel":
            right.append(np.flatnonzero(row > 0).tolist() == label)
        else:
            right.append(best in label if isinstance(label, list) else best == label)
    return np.array(right, dtype=bool)
