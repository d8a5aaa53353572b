"""What a call takes as its targets: one, a list for every image, or one for each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from camscope.arrays import to_numpy
from camscope.errors import TargetError
from camscope.targets.table import ScoreFunction
from camscope.targets.target import Target

TargetLike: TypeAlias = "Target | ScoreFunction | int | str"
"""A target, or what stands for one: an index, a name, a word of the command line, a callable on the raw output."""

TargetsLike: TypeAlias = "TargetLike | PerImage | Sequence[TargetLike] | None"


@dataclass(frozen=True)
class PerImage:
    """One target (or one list of as many targets) for each image of the batch: `PerImage([281, 285, 3])`.

    Attributes:
        targets: a list, or an array of class indices such as a loader's labels, `batch` or `batch target`. A callable
            among them takes the output of its own image: without the batch axis, or as a batch of one.

    Raises:
        TargetError: for an array that holds no class indices.

    Example:
        >>> e = camscope.explain(model, x, targets=camscope.PerImage([281, 3]))
        >>> [targets[0].index for targets in e.targets]
        [281, 3]
    """

    targets: Sequence[TargetLike | Sequence[TargetLike]]

    def __post_init__(self) -> None:
        if isinstance(self.targets, (list, tuple)) or not hasattr(self.targets, "shape"):
            return
        labels = to_numpy(self.targets)
        if labels.ndim not in (1, 2) or labels.dtype.kind not in "iu":
            raise TargetError(
                f"PerImage got an array of shape {labels.shape} and type {labels.dtype}; expected class indices, "
                "whole numbers of shape (batch,) or (batch, target)."
                + (
                    " Labels of 0 and 1 for every class are read by row: PerImage([row.nonzero()[0] …])."
                    if labels.ndim == 2 and labels.dtype.kind in "fb"
                    else ""
                )
            )
        object.__setattr__(self, "targets", labels.tolist())
