"""Derivatives of scores along directions in a layer's activations, where a framework gives no gradients.

They are central differences of re-runs of the part after the layer, of all classes at once; the targets' by the chain
rule. What they are off by shows in the same runs: on a straight line a step up and a step down tell the same slope, so
half of the difference between these two is what a kink (of a ReLU) or rounding adds to their mean. Held against the
gradients of EfficientNet-Lite0 at four layers, that was 0.6 to 2.5 times the true error. The difference between two
sizes of the step, which takes twice the runs, was 0.5 to 1.4 times that, since both meet the same kinks. Where the
score curves without kinks the estimate is too large: then the two slopes differ and their mean is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import channel_sum
from camscope.evidence import LinearHead, Measured
from camscope.models.observing import slices_of

Answers = Callable[[Float[np.ndarray, "row channel *space"]], Float[np.ndarray, "row class *place"]]
"""The class scores of altered activations of one image, of any number of rows."""

_CHANNEL_STEP, _POSITION_STEP = 0.0002, 0.001
"""Steps in single precision, as shares of the RMS of an image's activations: along one of K channels √K times the
first, since whatever is computed of all channels moves by about 1/√K of that. A smaller step meets fewer kinks (of a
ReLU) and more rounding; these left least error at four layers of EfficientNet-Lite0, of 40 to 320 channels."""

_DOUBLE_STEP = 1e-6
"""In double precision there is next to no rounding."""

_LARGEST_SHARE = 0.3
"""Of weak activations a step along themselves takes at most this share, so that it does not turn their sign."""

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
        return self._along("the channels' mean gradients", _evenly) / positions

    def along_activations(self) -> Float[np.ndarray, "batch target channel"]:
        """Σ_ij A_ij^k g_ij^k."""
        return self._along("the derivatives along each channel's activations", _by_channel)

    def at_positions(self) -> Float[np.ndarray, "batch target *space"]:
        """Σ_k A_ij^k g_ij^k."""
        found = self._along("the derivatives along each position's activations", _by_position)
        return found.reshape(*found.shape[:2], *self.activations.shape[2:])

    @property
    def measured(self) -> Sequence[Measured]:
        """How the derivatives that were asked for so far were measured."""
        return tuple(self._measured)

    def _along(
        self, what: str, kind: Callable[[Float[np.ndarray, " channel *space"]], Moves]
    ) -> Float[np.ndarray, "batch target direction"]:
        if what not in self._found:
            images = [self._of_image(i, kind(A)) for i, A in enumerate(self.activations)]
            found, off = (np.stack(each) for each in zip(*images, strict=True))
            self._found[what] = found.astype(self.activations.dtype)
            size, error = (np.sqrt((values**2).sum(axis=2)) for values in (found, off))
            largest = np.maximum(size, error)
            errors = np.where(largest > 0, error / np.where(largest > 0, largest, 1), np.nan)
            self._measured.append(Measured(what, 2 * found.shape[2], errors))
        return self._found[what]

    def _of_image(
        self, image: int, moves: Moves
    ) -> tuple[Float[np.ndarray, "target direction"], Float[np.ndarray, "target direction"]]:
        """Derivatives along all directions, and what each may be off by."""
        A, after = self.activations[image], self.after(image)
        slopes = self.slopes[image].reshape(self.slopes.shape[1], -1).astype(np.float64)
        found, off = (np.empty((len(slopes), moves.count)) for _ in range(2))
        at_a_time = max(1, min(_MOST, _NUMBERS // (2 * max(A.size, slopes.shape[1]))))
        for some in slices_of(moves.count, at_a_time):
            step = moves.steps[some].reshape(-1, *(1,) * A.ndim)
            move = (step * moves.build(np.arange(some.start, some.stop))).astype(A.dtype)
            scores = after(np.concatenate([A[None], A + move, A - move])).astype(np.float64)
            scores = np.where(np.isneginf(scores), 0, scores)  # of classes that the model masks out
            scores = scores.reshape(len(scores), -1)
            here, higher, lower = scores[:1], *np.split(scores[1:], 2)
            for kept, change in ((found, higher - lower), (off, higher - here - (here - lower))):
                kept[:, some] = slopes @ change.T / (2 * moves.steps[some])
        return found, off


@dataclass(frozen=True)
class Moves:
    """Directions in the activations of one image.

    Attributes:
        steps: how far to go along each.
        build: some of them, by their numbers.
    """

    steps: Float[np.ndarray, " direction"]
    build: Callable[[Int[np.ndarray, " some"]], Float[np.ndarray, "some channel *space"]]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.steps)


def _evenly(one: Float[np.ndarray, " channel *space"]) -> Moves:
    """One channel, all positions alike, for each channel of an image's activations."""
    like = np.ones_like(one)
    return Moves(
        np.full(len(one), _channel_step(one) * (_rms(one) or 1.0)),
        lambda numbers: _only(numbers, _channels_of(one), like),
    )


def _by_channel(one: Float[np.ndarray, " channel *space"]) -> Moves:
    """The activations of one channel, for each."""
    return Moves(
        _shares(one.reshape(len(one), -1), _channel_step(one)),
        lambda numbers: _only(numbers, _channels_of(one), one),
    )


def _by_position(one: Float[np.ndarray, " channel *space"]) -> Moves:
    """The activations of all channels at one position, for each."""
    space = one.shape[1:]
    step = _DOUBLE_STEP if one.dtype == np.float64 else _POSITION_STEP
    return Moves(
        _shares(one.reshape(len(one), -1).T, step),
        lambda numbers: _only(numbers, np.arange(int(np.prod(space))).reshape(1, *space), one),
    )


def _channels_of(one: Float[np.ndarray, " channel *space"]) -> Int[np.ndarray, " channel *ones"]:
    """The number of the channel of each element."""
    return np.arange(len(one)).reshape(-1, *(1,) * (one.ndim - 1))


def _only(
    numbers: Int[np.ndarray, " some"],
    parts: Int[np.ndarray, " *broadcastable"],
    values: Float[np.ndarray, " channel *space"],
) -> Float[np.ndarray, "some channel *space"]:
    """The values of one part each (by its number in `parts`), zero elsewhere."""
    own: np.ndarray = (numbers.reshape(-1, *(1,) * parts.ndim) == parts) * values
    return own


def _channel_step(one: Float[np.ndarray, " channel *space"]) -> float:
    return _DOUBLE_STEP if one.dtype == np.float64 else _CHANNEL_STEP * len(one) ** 0.5


def _shares(parts: Float[np.ndarray, "direction element"], step: float) -> Float[np.ndarray, " direction"]:
    """The share of each part of the activations whose RMS is that of `step` of all of them."""
    own = np.sqrt((parts.astype(np.float64) ** 2).mean(axis=1))
    wanted = step * _rms(parts) / np.where(own > 0, own, 1)
    share: np.ndarray = np.where(own > 0, np.minimum(wanted, _LARGEST_SHARE), _LARGEST_SHARE)
    return share


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values.astype(np.float64) ** 2).mean()))


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
