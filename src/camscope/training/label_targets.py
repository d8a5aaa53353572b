"""What a training step's maps are of: its labels, which stay on their device, or targets as everywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj
from einops import einsum
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, from_numpy, to_numpy
from camscope.errors import TargetError
from camscope.outputs import Of, Outputs
from camscope.targets import Targets, TargetsLike, resolve, target_slopes


class StepTargets(Protocol):
    """Scores of a batch, `batch × target`, and what they are made of."""

    @property
    def present(self) -> Bool[Array, "batch target"]:
        """Which of them there are: an image may have fewer labels than another."""
        ...

    @property
    def columns(self) -> Sequence[int]:
        """The targets that any image has."""
        ...

    def scores(self, outputs: Outputs, of: Of = "logit") -> Float[Array, "batch target"]:
        """Their values, on the graph of the outputs; zero where there is none."""
        ...

    def weights(
        self, rows: Float[Array, "class channel"], outputs: Outputs
    ) -> Float[Array, "batch target channel"]:
        """Their derivatives by what a linear head pools, on the graph; zero where there is none.

        Args:
            rows: the head's weights.
            outputs: of the same forward.
        """
        ...


def step_targets(given: Any, outputs: Outputs, class_names: Sequence[str] | None) -> StepTargets:
    """What a training step's maps are of.

    Args:
        given: an array of labels; or targets as `Explainer` takes them. See `camscope.training.cam`.
        outputs: of this step.
        class_names: to find classes by name; None if they are not known.

    Raises:
        TargetError: for labels of another shape than the batch's, labels outside of the classes, and lists that could
            be meant in two ways.
    """
    batch, count = outputs.logits.shape
    if not (is_array_api_obj(given) and given.ndim):
        _check_list(given, batch)
        names = class_names if class_names is not None and len(class_names) == count else None
        return _Resolved(resolve(given, outputs, names), outputs)
    xp = array_namespace(outputs.logits)
    labels = xp.asarray(given, device=device(outputs.logits))
    if labels.shape[0] != batch or labels.ndim > 2:
        raise TargetError(
            f"The labels have shape {tuple(labels.shape)} for a batch of {batch}: expected ({batch},), one class for "
            f"each image, ({batch}, n), n classes for each, or a mask ({batch}, {count}), True for the classes it has."
        )
    if not xp.isdtype(labels.dtype, "integral"):
        return _of_mask(labels, batch, count)
    if labels.ndim == 2 and labels.shape[1] == count > 1:
        raise TargetError(
            f"Integer labels of shape {tuple(labels.shape)} could be a mask of the {count} classes or {count} classes "
            "for each image. Give a mask as y.bool(), and for all classes targets='all'."
        )
    labels = labels if labels.ndim == 2 else labels[:, None]
    if str(device(given)).startswith("cpu"):  # elsewhere the host would have to wait for it
        _check_range(to_numpy(given), count)
    return Labels(xp.clip(labels, 0, None), labels >= 0, tuple(range(labels.shape[1])))


@dataclass(frozen=True, eq=False)
class Labels:
    """Classes by number.

    Attributes:
        classes: their numbers; anything where there is none.
        present: which there are.
        columns: the targets that any image has.
    """

    classes: Int[Array, "batch target"]
    present: Bool[Array, "batch target"]
    columns: Sequence[int]

    def scores(self, outputs: Outputs, of: Of = "logit") -> Float[Array, "batch target"]:
        """See `StepTargets`."""
        xp = array_namespace(outputs.logits)
        found = xp.take_along_axis(outputs.of(of), self.classes, axis=1)
        return found * xp.astype(self.present, found.dtype)

    def weights(
        self, rows: Float[Array, "class channel"], outputs: Outputs
    ) -> Float[Array, "batch target channel"]:
        """See `StepTargets`: rows of the head's weights."""
        del outputs
        return rows[self.classes] * array_namespace(rows).astype(self.present, rows.dtype)[..., None]


@dataclass(frozen=True, eq=False)
class _Resolved:
    """A table of targets.

    Attributes:
        table: itself.
        outputs: of the step that it was resolved for.
    """

    table: Targets
    outputs: Outputs

    @property
    def present(self) -> Bool[Array, "batch target"]:
        """All."""
        xp, logits = array_namespace(self.outputs.logits), self.outputs.logits
        return xp.ones((logits.shape[0], len(self.table)), dtype=xp.bool, device=device(logits))

    @property
    def columns(self) -> Sequence[int]:
        """All."""
        return range(len(self.table))

    def scores(self, outputs: Outputs, of: Of = "logit") -> Float[Array, "batch target"]:
        """See `StepTargets`; of another kind of score than the logit where that is asked for."""
        return (self.table if of == "logit" else self.table.scored_as(of)).scores(outputs)

    def weights(
        self, rows: Float[Array, "class channel"], outputs: Outputs
    ) -> Float[Array, "batch target channel"]:
        """See `StepTargets`: of logits and their differences, which are linear in the weights."""
        if not self.table.linear:
            raise TargetError(
                "In a training step a linear head's maps are of logits: classes by number or name, 'all', Contrast. "
                "For a probability or a function of your own take a gradient method."
            )
        slopes = from_numpy(target_slopes(self.table, outputs), like=rows)
        return einsum(slopes, rows, "b t c, c k -> b t k")


def _of_mask(mask: Array, batch: int, count: int) -> Labels:
    """Labels from a mask of classes."""
    xp = array_namespace(mask)
    if tuple(mask.shape) != (batch, count):
        raise TargetError(
            f"A mask of classes has a column for each: expected shape {(batch, count)}, got {tuple(mask.shape)}. One "
            "class for each image is given by its number: y.long()."
        )
    present = mask if mask.dtype == xp.bool else mask > 0.5  # labels may be smoothed
    classes = xp.broadcast_to(xp.arange(count, device=device(mask)), (batch, count))
    columns = np.flatnonzero(to_numpy(xp.any(present, axis=0)))
    return Labels(classes, present, tuple(columns.tolist()))


def _check_range(labels: Int[np.ndarray, " ..."], count: int) -> None:
    if labels.size and labels.max() >= count:
        raise TargetError(f"There is no class {labels.max()}: the model has {count}, 0 to {count - 1}.")


def _check_list(given: TargetsLike, batch: int) -> None:
    if (
        isinstance(given, (list, tuple))
        and len(given) == batch > 1
        and all(isinstance(c, int) for c in given)
    ):
        raise TargetError(
            f"A list of {batch} classes for a batch of {batch} could mean one for each image or all of them for every "
            "image. Give labels as a tensor: torch.tensor([…]) of shape (batch,) or (batch, n), or PerImage([…])."
        )
