"""From what users write to a table of targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.errors import TargetError
from camscope.outputs import Dense, Detections, Outputs, Predictions
from camscope.plugins import load_plugins
from camscope.targets.classes import Class, TopK
from camscope.targets.instances import Instance
from camscope.targets.one_image import moved_on, of_one_function
from camscope.targets.per_image import PerImage, TargetLike, TargetsLike
from camscope.targets.regions import Region
from camscope.targets.table import ScoreFunction, Targets
from camscope.targets.target import Target
from camscope.targets.words import parse_target

DEFAULTS: dict[type[Predictions], Callable[[], Target]] = {
    Dense: Region,
    Detections: Instance,
}
"""What is explained where no target is asked for, by the kind of predictions: a segmenter's class with most positions,
a detector's most likely detection. For every other model it is the top class."""


def resolve(targets: TargetsLike, outputs: Outputs, class_names: Sequence[str] | None = None) -> Targets:
    """Turn what the user asked for into a table of targets for this batch.

    Args:
        targets: None (the top class of each image); one target; a list, which means these targets for every
            image; or `PerImage`. A target is an index, a name, a word of the command line (`top3`, `all`,
            `-281`, `probability:tabby`), an object of this room, or a callable on the model's raw output.
        outputs: of the batch.
        class_names: to find classes by name.

    Raises:
        TargetError: for a class that does not exist (with the nearest name) or a count that does not fit.
    """
    if isinstance(targets, PerImage):
        return _resolve_per_image(targets, outputs, class_names)
    given = [default_target(outputs)] if targets is None else _as_list(targets)
    return _resolve_list(given, outputs, class_names)


def default_target(outputs: Outputs) -> Target:
    """What is explained where no target is asked for."""
    load_plugins("camscope.targets")
    found = (DEFAULTS[kind] for kind in type(outputs.predictions).__mro__ if kind in DEFAULTS)
    return next(found, TopK)()


def _resolve_per_image(targets: PerImage, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
    batch = outputs.logits.shape[0]
    if len(targets.targets) != batch:
        raise TargetError(
            f"PerImage holds {len(targets.targets)} targets, the batch {batch} images: give one for each image."
        )
    rows = [
        Targets.side_by_side(
            [_resolve_one_of(target, outputs.image(b), class_names) for target in _as_list(entry)]
        )
        for b, entry in enumerate(targets.targets)
    ]
    counts = [len(row) for row in rows]
    if len(set(counts)) > 1:
        raise TargetError(f"PerImage needs as many targets for each image; these counts differ: {counts}.")
    if any(row.kinds != rows[0].kinds for row in rows):
        raise TargetError(
            "PerImage needs the same kind of score (logit, probability, contrast …) down each column."
        )
    return Targets.stacked(rows)


def _as_list(targets: TargetsLike) -> list[TargetLike]:
    if targets is None:
        return [TopK(1)]
    if isinstance(targets, (list, tuple, range)):
        if not targets:
            raise TargetError("The list of targets is empty. Leave it out to explain the top class.")
        return list(targets)
    if hasattr(targets, "shape") and not isinstance(targets, np.integer):
        raise TargetError(
            f"Targets came as an array of shape {tuple(targets.shape)}, which could mean these targets for every "
            "image or one target per image. Pass a list for the first, PerImage(list) for the second."
        )
    return [cast(TargetLike, targets)]


def _resolve_list(
    targets: Sequence[TargetLike], outputs: Outputs, class_names: Sequence[str] | None
) -> Targets:
    return Targets.side_by_side([_resolve_one(target, outputs, class_names) for target in targets])


def _resolve_one_of(target: TargetLike, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
    """A target of one image alone, whose callable takes the output of that image."""
    if callable(target) and not isinstance(target, Target):
        return Targets.of_function(of_one_function(target, 1), 1, 1)
    return _resolve_one(target, outputs, class_names)


def _of_callable(function: ScoreFunction, outputs: Outputs) -> Targets:
    """A callable on the batch's raw output, or on one image's, as pytorch-grad-cam's are: whichever gives numbers.

    Of as many images as there are classes, `output[3]` gives as many numbers as there are images. So where both are
    possible, that of the batch must give each image its own number wherever it stands.
    """
    batch = outputs.logits.shape[0]
    of_batch = Targets.of_function(function, batch, 1)
    of_images = Targets.of_function(of_one_function(function, batch, rows_only=True), batch, 1)
    scores = _numbers(of_batch, outputs)
    if outputs.raw is None or _numbers(of_images, outputs) is None:
        return of_batch  # a function that gives numbers in neither way says so where it is evaluated
    if scores is None or batch < 2:
        return of_images if scores is None else of_batch
    moved = _numbers(of_batch, replace(outputs, raw=moved_on(outputs.raw, batch)))
    follows = moved is not None and np.allclose(moved, np.roll(scores, -1, axis=0), 1e-3, equal_nan=True)
    return of_batch if follows else of_images


def _numbers(targets: Targets, outputs: Outputs) -> Float[np.ndarray, "batch 1"] | None:
    """What the targets give; None if they fail."""
    try:
        return to_numpy(targets.scores(outputs))
    except Exception:
        return None


def _resolve_one(target: TargetLike, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
    if isinstance(target, str):
        is_name = class_names is not None and target in class_names
        target = Class(target) if is_name else parse_target(target, class_names)
    elif isinstance(target, (int, np.integer)) and not isinstance(target, bool):
        target = Class(int(target))
    if isinstance(target, Target):
        return target.resolved(outputs, class_names)
    if callable(target):
        return _of_callable(target, outputs)
    raise TargetError(
        f"{target!r} is no target. A target is a class index, a class name, an object such as Class, TopK, AllClasses, "
        "Contrast, Region or Instance, or a callable on the model's output."
    )
