"""The two likeliest classes, explained in the same call beside what a user asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int

from camscope.engine.length_buckets import targets_of_bucket
from camscope.outputs import Detections, Outputs
from camscope.results import Explanation
from camscope.targets import Targets, TargetsLike, TopK, captions_of, resolve
from camscope.targets.target import Target


@dataclass(frozen=True, eq=False)
class WithTopTwo(Target):
    """A user's targets, and behind them the top class and the runner-up, where the model has two classes.

    Attributes:
        targets: as the user gave them.
        images: how many there are.
        sign: 1.
        own: how many columns the user's targets have, noted when they are found.
    """

    targets: TargetsLike
    images: int
    sign: int = 1
    own: list[int] = field(default_factory=list)

    @property
    def class_names(self) -> Sequence[str]:
        """The names that the user's targets mention."""
        return captions_of(self.targets)

    def resolved(self, outputs: Outputs, class_names: Sequence[str] | None) -> Targets:
        """The user's columns first."""
        asked = resolve(self.targets, outputs, class_names)
        self.own[:] = [len(asked)]
        if outputs.task == "regression" or isinstance(outputs.predictions, Detections):
            return asked
        two = TopK(2, or_fewer=True).resolved(outputs, class_names)
        return Targets.side_by_side([asked, two]) if len(two) == 2 else asked

    def of_images(self, index: Int[np.ndarray, " image"]) -> WithTopTwo:
        """The same for these images only."""
        some = targets_of_bucket(self.targets, index, self.images)
        return dataclasses.replace(self, targets=some, images=len(index))

    def parted(self, e: Explanation) -> tuple[Explanation, Explanation | None]:
        """What the user asked for, and the maps of the two classes; None if there are no two.

        Args:
            e: of this target.
        """
        (own,) = self.own
        two = _columns(e, slice(own, None)) if e.scores.shape[1] > own else None
        return _columns(e, slice(own)), two


def _columns(e: Explanation, columns: slice) -> Explanation:
    """The explanation of some of the targets."""
    provenance: dict[str, Any] = dict(e.provenance)
    layers = provenance.get("layers", {})
    if "fpn_level_of_target" in layers:
        own = [row[columns] for row in layers["fpn_level_of_target"]]
        provenance["layers"] = {**layers, "fpn_level_of_target": own}
    return dataclasses.replace(
        e,
        raw={key: maps[:, columns] for key, maps in e.raw.items()},
        scores=e.scores[:, columns],
        targets=tuple(targets[columns] for targets in e.targets),
        provenance=provenance,
        gradient_free={key: flags[:, columns] for key, flags in e.gradient_free.items()},
    )
