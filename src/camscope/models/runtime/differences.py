"""Derivatives of scores along directions in a layer's activations, where a framework gives no gradients.

They are central differences of re-runs of the part after the layer, of all classes at once; the targets' by the chain
rule. What they are off by shows in the same runs: on a straight line a step up and a step down tell the same slope, so
half of the difference between these two is what a kink (of a ReLU) or rounding adds to their mean. Held against the
gradients of EfficientNet-Lite0 at four layers, that was 0.6 to 2.5 times the true error. The difference between two
sizes of the step, which takes twice the runs, was 0.5 to 1.4 times that, since both meet the same kinks. Where the
score curves without kinks the estimate is too large: then the two slopes differ and their mean is right.

Where activations are exactly zero, as behind a ReLU, and another ReLU reads them as they are, its kink is there, and no
step is small enough: half of the slope above is no derivative. So it is where they were clamped at a limit (ReLU6), and
are clamped there again. That is found by a smaller step, at which the two slopes still differ; the slope to the side on
which the corner is flat is then given: below zero, above an upper limit. There ReLUs and clamps that rest have none, as
in automatic gradients. Numbers cannot tell a corner that has no flat side (|A| at zero): the side is the same there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.arrays import channel_sum
from camscope.errors import ModelError
from camscope.evidence import LinearHead, Measured
from camscope.models.observing import slices_of
from camscope.models.runtime.moves import Moves, by_channel, by_position, evenly

Answers = Callable[[Float[np.ndarray, "row channel *space"]], Float[np.ndarray, "row class *place"]]
"""The class scores of altered activations of one image, of any number of rows."""

_SUSPECT, _SMALLER, _STILL = 0.02, 4, 0.5
"""Slopes above and below that differ by more than the first share are measured again with a step so many times smaller,
and if they still differ by more than the last share of before, there is a kink exactly at the activations."""

_MOST_RERUNS = 20_000
"""More re-runs for each image are not begun. On EfficientNet-Lite0 at 28² positions a thousand took four seconds."""

_MOST, _NUMBERS = 32, 2**23
"""At most so many directions are run at a time, and so many numbers altered or answered."""


@dataclass(frozen=True, eq=False)
class Differences:
    """Measures derivatives by re-runs. See `camscope.evidence.Directions`.

    Attributes:
        activations: of the batch.
        slopes: ∂score/∂(class score) of each target: what `camscope.targets.target_slopes` gives.
        after: the part after the layer for one image of the batch (its number), answering with the class scores that
            the slopes are by.
    """

    activations: Float[np.ndarray, "batch channel *space"]
    slopes: Float[np.ndarray, "batch target class *place"]
    after: Callable[[int], Answers]
    _found: dict[str, Float[np.ndarray, "batch target direction"]] = field(default_factory=dict)
    _measured: list[Measured] = field(default_factory=list)

    def means(self) -> Float[np.ndarray, "batch target channel"]:
        """The mean gradient of each channel."""
        positions = int(np.prod(self.activations.shape[2:]))
        return self._along("the channels' mean gradients", evenly) / positions

    def along_activations(self) -> Float[np.ndarray, "batch target channel"]:
        """Σ_ij A_ij^k g_ij^k."""
        return self._along("the derivatives along each channel's activations", by_channel)

    def at_positions(self) -> Float[np.ndarray, "batch target *space"]:
        """Σ_k A_ij^k g_ij^k."""
        found = self._along("the derivatives along each position's activations", by_position)
        return found.reshape(*found.shape[:2], *self.activations.shape[2:])

    @property
    def measured(self) -> Sequence[Measured]:
        """How the derivatives that were asked for so far were measured."""
        return tuple(self._measured)

    def _along(
        self, what: str, kind: Callable[[Float[np.ndarray, " channel *space"]], Moves]
    ) -> Float[np.ndarray, "batch target direction"]:
        if what not in self._found:
            moves = [kind(A) for A in self.activations]
            reruns = 2 * max(one.count for one in moves)
            self._check_price(what, reruns)
            images = [self._of_image(i, one) for i, one in enumerate(moves)]
            found, off = (np.stack(each) for each in zip(*(image[:2] for image in images), strict=True))
            self._found[what] = found.astype(self.activations.dtype)
            size, error = (np.sqrt((values**2).sum(axis=2)) for values in (found, off))
            largest = np.maximum(size, error)
            errors = np.where(largest > 0, error / np.where(largest > 0, largest, 1), np.nan)
            kinks = sum(image[2] for image in images)
            self._measured.append(Measured(what, reruns, errors, kinks))
        return self._found[what]

    def _check_price(self, what: str, reruns: int) -> None:
        """Refuse what would take very long.

        Raises:
            ModelError: saying how many re-runs it would take, and what takes fewer.
        """
        if reruns > _MOST_RERUNS:
            _, channels, *space = self.activations.shape
            fewer = (
                f"gradcam and xgradcam take {2 * channels} here"
                if 2 * channels < reruns
                else "methods that take no gradients, such as eigencam, take none"
            )
            raise ModelError(
                f"Without gradients, {what} would take {reruns} re-runs of the part behind the layer for each image "
                f"({channels} channels, {'×'.join(map(str, space))} positions), and more than {_MOST_RERUNS} are not "
                f"begun. Choose a deeper layer, which has fewer positions; or another method: {fewer}."
            )

    def _of_image(
        self, image: int, moves: Moves
    ) -> tuple[Float[np.ndarray, "target direction"], Float[np.ndarray, "target direction"], int]:
        """Derivatives along all directions, what each may be off by, and how many are at a kink."""
        A, after = self.activations[image], self.after(image)
        slopes = self.slopes[image].reshape(self.slopes.shape[1], -1).astype(np.float64)

        scores_here = np.zeros((1, slopes.shape[1]))

        def sides(
            numbers: Int[np.ndarray, " some"], smaller: int = 1
        ) -> tuple[Float[np.ndarray, "target some"], Float[np.ndarray, "target some"]]:
            """The slopes above and below along some directions."""
            steps = moves.steps[numbers] / smaller
            move = (steps.reshape(-1, *(1,) * A.ndim) * moves.build(numbers)).astype(A.dtype)
            scores = after(np.concatenate([A[None], A + move, A - move])).astype(np.float64)
            scores = np.where(np.isneginf(scores), 0, scores)  # of classes that the model masks out
            scores = scores.reshape(len(scores), -1)
            here, higher, lower = scores[:1], *np.split(scores[1:], 2)
            scores_here[:] = here
            return slopes @ (higher - here).T / steps, slopes @ (here - lower).T / steps

        found, off, moved = (np.empty((len(slopes), moves.count)) for _ in range(3))
        at_a_time = max(1, min(_MOST, _NUMBERS // (2 * max(A.size, slopes.shape[1]))))
        kinks = 0
        for some in slices_of(moves.count, at_a_time):
            numbers = np.arange(some.start, some.stop)
            above, below = sides(numbers)
            found[:, some], off[:, some] = (above + below) / 2, (above - below) / 2
            moved[:, some] = np.maximum(np.abs(above), np.abs(below)) * moves.steps[some]
            suspects = numbers[(moves.flat[some] != 0) & (_apart(above, below) > _SUSPECT)]
            if not len(suspects):
                continue
            closer_above, closer_below = sides(suspects, _SMALLER)
            up = moves.flat[suspects] > 0
            before = np.where(up, above[:, suspects - some.start], below[:, suspects - some.start])
            closer = np.where(up, closer_above, closer_below)
            still = _size(closer_above - closer_below) > _STILL * _size(2 * off[:, suspects])
            found[:, suspects[still]] = closer[:, still]
            off[:, suspects[still]] = (closer - before)[:, still]
            kinks += int(still.sum())
        unmoved = _only_rounding(moved, np.abs(slopes) @ np.abs(scores_here).T, A.dtype)
        found[unmoved], off[unmoved] = 0, 0
        return moves.together(found), moves.together(off), kinks


def _only_rounding(
    moved: Float[np.ndarray, "target direction"], size: Float[np.ndarray, "target one"], dtype: np.dtype
) -> Bool[np.ndarray, " target"]:
    """Whether a score stayed the same along all directions.

    A row that runs beside others may round its sums otherwise. So a few directions may seem to count, by a last digit,
    where the others show that nothing does.

    Args:
        moved: how far the score moved.
        size: of the score.
        dtype: in which it was computed.
    """
    few: np.ndarray = (moved == 0).mean(axis=1) > 0.5
    same: np.ndarray = few & (moved <= 4 * np.finfo(dtype).eps * size).all(axis=1)
    return same


def _apart(
    above: Float[np.ndarray, "target some"], below: Float[np.ndarray, "target some"]
) -> Float[np.ndarray, " some"]:
    """How far slopes above and below differ, as a share of the larger ones; 0 where nothing changes."""
    largest = np.maximum(_size(above), _size(below))
    share: np.ndarray = np.where(largest > 0, _size(above - below) / np.where(largest > 0, largest, 1), 0)
    return share


def _size(slopes: Float[np.ndarray, "target some"]) -> Float[np.ndarray, " some"]:
    size: np.ndarray = np.sqrt((slopes**2).sum(axis=0))
    return size


@dataclass(frozen=True)
class BehindHead:
    """Exact derivatives behind a linear head, without a re-run. See `camscope.evidence.Directions`.

    Attributes:
        head: on the layer.
    """

    head: LinearHead

    def means(self) -> Float[np.ndarray, "batch target channel"]:
        """The mean gradient of each channel: w_k / N, of a ReLU that is pooled the share of it that is awake."""
        F = self.head.features
        axes = tuple(range(2, F.ndim))
        mean = self.head.weights / int(np.prod(F.shape[2:]))
        awake = np.ones(F.shape[:2], F.dtype) if self.head.pools_activations else (F > 0).mean(axis=axes)
        found: np.ndarray = (mean * awake[:, None]).astype(F.dtype)
        return found

    def along_activations(self) -> Float[np.ndarray, "batch target channel"]:
        """Σ_ij A_ij^k g_ij^k = w_k · mean(F^k)."""
        F = self.head.features
        found: np.ndarray = self.head.weights * F.mean(axis=tuple(range(2, F.ndim)))[:, None]
        return found

    def at_positions(self) -> Float[np.ndarray, "batch target *space"]:
        """Σ_k A_ij^k g_ij^k = Σ_k w_k F_ij^k / N."""
        F = self.head.features
        found: np.ndarray = channel_sum(self.head.weights / int(np.prod(F.shape[2:])), F)
        return found

    @property
    def measured(self) -> Sequence[Measured]:
        """Nothing is measured."""
        return ()
