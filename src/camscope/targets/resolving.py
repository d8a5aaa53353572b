"""From what users write to a table of targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from array_api_compat import array_namespace

from camscope.errors import TargetError
from camscope.targets.names import class_index
from camscope.targets.outputs import Outputs
from camscope.targets.structure import StructuredTarget
from camscope.targets.table import Targets
from camscope.targets.wanted import (
    AllClasses,
    Class,
    Contrast,
    PerImage,
    Target,
    TargetsLike,
    TopK,
    parse_target,
)


def resolve(targets: TargetsLike, outputs: Outputs, class_names: Sequence[str] | None = None) -> Targets:
    """Turn what the user asked for into a table of targets for this batch.

    Args:
        targets: None (the top class of each image); one target; a list, which means these targets for every
            image; or `PerImage`. A target is an index, a name, a word of the command line (`top3`, `all`,
            `-281`, `probability:tabby`), an object of this module, or a callable on the model's raw output.
        outputs: of the batch.
        class_names: to find classes by name.

    Raises:
        TargetError: for a class that does not exist (with the nearest name) or a count that does not fit.
    """
    batch = outputs.logits.shape[0]
    if targets is None and outputs.structure is not None:
        targets = outputs.structure.default
    if isinstance(targets, PerImage):
        if len(targets.targets) != batch:
            raise TargetError(
                f"PerImage holds {len(targets.targets)} targets, the batch {batch} images: give one for each image."
            )
        rows = [
            _resolve_list(_as_list(entry), _only(outputs, b), class_names)
            for b, entry in enumerate(targets.targets)
        ]
        counts = [len(row) for row in rows]
        if len(set(counts)) > 1:
            raise TargetError(
                f"PerImage needs as many targets for each image; these counts differ: {counts}."
            )
        if any(row.kinds != rows[0].kinds for row in rows):
            raise TargetError(
                "PerImage needs the same kind of score (logit, probability, contrast …) down each column."
            )
        return Targets.stacked(rows)
    return _resolve_list(_as_list(targets), outputs, class_names)


def _as_list(targets: TargetsLike) -> list[Target]:
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
    return [cast(Target, targets)]


def _resolve_list(targets: list[Target], outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
    return Targets.side_by_side([_resolve_one(target, outputs, class_names) for target in targets])


def _resolve_one(target: Target, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
    batch, count = outputs.logits.shape
    if isinstance(target, str):
        known = class_names is not None and target in class_names
        target = Class(target) if known else parse_target(target, class_names)
    elif isinstance(target, (int, np.integer)) and not isinstance(target, bool):
        target = Class(int(target))
    if isinstance(target, StructuredTarget):
        ones = np.ones((batch, 1), dtype=np.int64)
        score = target.score(outputs, class_names)
        return Targets(-ones, target.sign * ones, ("logit",), (score,), (None,))
    if isinstance(target, Contrast):
        return _resolve_contrast(target, outputs, class_names)
    if isinstance(target, AllClasses):
        classes = np.broadcast_to(np.arange(count), (batch, count))
    elif isinstance(target, TopK):
        if target.k > count and not target.or_fewer:
            raise TargetError(f"TopK({target.k}): the model has only {count} classes.")
        xp = array_namespace(outputs.logits)
        order = xp.argsort(outputs.logits, axis=1, descending=True)[:, : target.k]
        classes = np.asarray(order.tolist(), dtype=np.int64)
    elif isinstance(target, Class):
        classes = np.full((batch, 1), class_index(target.which, count, class_names))
    elif callable(target):
        ones = np.ones((batch, 1), dtype=np.int64)
        return Targets(-ones, ones, ("logit",), (target,), (None,))
    else:
        raise TargetError(
            f"{target!r} is no target. A target is a class index, a class name, Class, TopK, AllClasses, "
            "Contrast, or a callable on the model's output."
        )
    columns = classes.shape[1]
    signs = np.full((batch, columns), target.sign)
    return Targets(classes, signs, (target.of,) * columns, (None,) * columns, (None,) * columns)


def _resolve_contrast(target: Contrast, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
    one = _resolve_one(Class(target.which, target.of, target.sign), outputs, class_names)
    if isinstance(target.against, str) and target.against == "similar":
        among, count = None, target.count
    else:
        single = isinstance(target.against, (int, str, np.integer))
        others = (
            [cast("int | str", target.against)]
            if single
            else list(cast("Sequence[int | str]", target.against))
        )
        total = outputs.logits.shape[1]
        among, count = [class_index(other, total, class_names) for other in others], None
    return one.contrasted(outputs, gamma=target.gamma, count=count, weighting=target.weighting, among=among)


def _only(outputs: Outputs, b: int) -> Outputs:
    structure = None if outputs.structure is None else outputs.structure.images(slice(b, b + 1))
    return Outputs(outputs.logits[b : b + 1], outputs.task, structure=structure)
