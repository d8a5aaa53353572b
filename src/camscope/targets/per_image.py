"""What a call takes as its targets: one, a list for every image, or one for each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from camscope.targets.table import ScoreFunction
from camscope.targets.target import Target

TargetLike: TypeAlias = "Target | ScoreFunction | int | str"
"""A target, or what stands for one: an index, a name, a word of the command line, a callable on the raw output."""

TargetsLike: TypeAlias = "TargetLike | PerImage | Sequence[TargetLike] | None"


@dataclass(frozen=True)
class PerImage:
    """One target (or one list of as many targets) for each image of the batch: `PerImage([281, 285, 3])`."""

    targets: Sequence[TargetLike | Sequence[TargetLike]]
