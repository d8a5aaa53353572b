"""The linear head, by numbers alone: what follows a layer answers the same to the mean over space, and is affine in it.

No layer's kind is asked, so a batch norm, a dropout or a second linear layer behind the pooling does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from camscope.arrays import product_on_one_thread
from camscope.models.last_used import LastUsed
from camscope.models.observing import slices_of

Answers = Callable[[Float[np.ndarray, "row channel *space"]], Float[np.ndarray, "row class"]]
"""The class scores of altered activations: one row for each image of a batch, or any number of rows of one image."""

_TOLERANCE = 1e-4
"""How far a score may be off by rounding, as a share of the size of its terms."""

_AS_BEFORE = 5e-6
"""The same for weights that an earlier batch gave: more than the rounding of one sum tells that they have changed."""

_FAR = 1e4
"""So many times larger activations are tried, beside which biases and the bends of hidden layers are nothing."""

_AT_A_TIME = 64
"""Channels that are probed in one run."""

_REMEMBERED = 64
"""So many kinds of layer and input are remembered."""


@dataclass(frozen=True)
class AffineHead:
    """score = Σ_k w_k · mean(F^k) + b, F the activations or their ReLU.

    Attributes:
        weight: w, one row per class.
        bias: b.
        rectifies: whether F is the ReLU of the activations.
    """

    weight: Float[np.ndarray, "class channel"]
    bias: Float[np.ndarray, " class"]
    rectifies: bool

    @cached_property
    def _size(self) -> Float[np.ndarray, "class channel"]:
        size: np.ndarray = np.abs(self._single)
        return size

    def weight_in(self, dtype: np.dtype) -> Float[np.ndarray, "class channel"]:
        """The weight in single or double precision."""
        return self.weight if dtype == np.float64 else self._single

    @cached_property
    def _single(self) -> Float[np.ndarray, "class channel"]:
        single: np.ndarray = self.weight.astype(np.float32)
        return single

    def features(self, activations: Float[np.ndarray, "batch channel *space"]) -> np.ndarray:
        """F."""
        return np.maximum(activations, 0) if self.rectifies else activations

    def right(
        self,
        activations: Float[np.ndarray, "row channel *space"],
        scores: Float[np.ndarray, "row class"],
        tolerance: float = _TOLERANCE,
    ) -> Bool[np.ndarray, " row"]:
        """Of each row, whether every score is what the formula gives.

        Args:
            activations: of each row.
            scores: of each row.
            tolerance: how far a score may be off, as a share of the size of its terms.
        """
        mean = _mean(self.features(activations))
        expected = product_on_one_thread(mean.astype(np.float64), self.weight.T) + self.bias
        size = product_on_one_thread(np.abs(mean), self._size.T) + np.abs(self.bias)
        masked = np.isneginf(scores)
        off = np.abs(np.where(masked, expected, scores) - expected)
        good: np.ndarray = (np.isfinite(size) & (off <= tolerance * size)).all(axis=1)
        return good

    def holds_when_altered(
        self, activations: Float[np.ndarray, "batch channel *space"], after: Answers, *, far: bool = False
    ) -> bool:
        """Whether the formula is right for these activations with half of the channels, with other signs, and negated.

        Args:
            activations: of the batch.
            after: runs the part after the layer for the whole batch.
            far: whether they are tried much larger too: a ReLU between two linear layers rests as long as their biases
                are larger. Probabilities, of which logits are read, and half precision do not go that far.
        """
        rng = np.random.default_rng(0)
        across = (..., *(None,) * (activations.ndim - 2))
        half = (rng.random(activations.shape[:2]) < 0.5)[across]
        signs = np.where(rng.random(activations.shape) < 0.5, -1, 1)
        altered = (activations * some for some in (half, signs, -1, *([_FAR * signs] if far else [])))
        return all(self.right(some, after(some.astype(activations.dtype))).all() for some in altered)


class HeadFinder:
    """Finds the heads of one model, and remembers their weights as long as these are right for the next batch too."""

    def __init__(self) -> None:
        self._known: LastUsed[AffineHead] = LastUsed(_REMEMBERED)
        self._none: LastUsed[bool] = LastUsed(_REMEMBERED)

    def is_known_for_none(self, kind: Any) -> bool:
        """Whether a batch has shown that there is no head behind a layer, so that none is to be tried for speed."""
        return bool(self._none.known(kind))

    def tells_gradients(self, kind: Any) -> bool:
        """Whether an earlier batch has shown a head that pools the activations themselves: it is expected again."""
        head = None if self.is_known_for_none(kind) else self._known.known(kind)
        return head is not None and not head.rectifies

    def known(
        self,
        kind: Any,
        activations: Float[np.ndarray, "batch channel *space"],
        scores: Float[np.ndarray, "batch class"],
    ) -> AffineHead | None:
        """The head that an earlier batch showed, if it is right for every image of this one; None if it is not.

        The tolerance is that of one sum's rounding, so that a model that was trained a little since is looked at anew.

        Args:
            kind: of layer and input.
            activations: of the batch.
            scores: of the batch.
        """
        head = self._known.known(kind)
        return head if head is not None and head.right(activations, scores, _AS_BEFORE).all() else None

    def head(
        self,
        kind: Any,
        activations: Float[np.ndarray, "batch channel *space"],
        scores: Float[np.ndarray, "batch class"],
        after: Answers,
        after_first: Answers,
        *,
        far: bool,
    ) -> AffineHead | None:
        """The head behind a layer, verified on every image of this batch; None if there is none.

        It is held against the batch as it is, its mean over space, its negative, and its channels halved at random:
        what is right for these is a mean and one affine map, also with a clamp that the batch itself does not meet.

        Args:
            kind: of layer and input, by which the weights are remembered.
            activations: of the batch.
            scores: of the batch.
            after: runs the part after the layer for the whole batch.
            after_first: the same for any number of variants of the first image.
            far: see `AffineHead.holds_when_altered`.
        """
        if self._only_the_mean_counts(activations, scores, after):
            head = _probed(activations, after_first)
            if (
                head is not None
                and head.right(activations, scores).all()
                and head.holds_when_altered(activations, after, far=far)
            ):
                return self._known.put(kind, head)
        self._none.put(kind, True)
        return None

    def _only_the_mean_counts(self, activations: np.ndarray, scores: np.ndarray, after: Answers) -> bool:
        """Of the activations or of their ReLU: the first and cheapest question, which most layers fail."""
        return any(
            _close(after(_even(_mean(F), F)), scores) for F in (activations, np.maximum(activations, 0))
        )


def _probed(activations: Float[np.ndarray, "batch channel *space"], after: Answers) -> AffineHead | None:
    """Weights and bias, by one run for each channel: that channel alone at its usual size, everywhere the same."""
    like = activations[:1]
    channels = activations.shape[1]
    bias = after(np.zeros_like(like))[0].astype(np.float64)
    if bias.ndim != 1:
        return None
    size = float(np.sqrt((_mean(activations) ** 2).mean())) or 1.0
    weight = np.empty((len(bias), channels))
    for some in slices_of(channels, _AT_A_TIME):
        numbers = np.arange(some.start, some.stop)
        units = np.zeros((len(numbers), channels), activations.dtype)
        units[np.arange(len(numbers)), numbers] = size
        weight[:, some] = ((after(_even(units, like)) - bias) / size).T
    if not np.isfinite(weight).all():
        return None
    negative = after(-np.abs(_even(_mean(np.abs(like)), like)))
    return AffineHead(weight, bias, rectifies=_close(negative, bias[None]) and bool(weight.any()))


def _mean(values: Float[np.ndarray, "row channel *space"]) -> Float[np.ndarray, "row channel"]:
    mean: np.ndarray = values.mean(axis=tuple(range(2, values.ndim)))
    return mean


def _even(
    values: Float[np.ndarray, "row channel"], like: Float[np.ndarray, "other channel *space"]
) -> Float[np.ndarray, "row channel *space"]:
    """The same at every position."""
    axes = (..., *(None,) * (like.ndim - 2))
    return np.ascontiguousarray(
        np.broadcast_to(values[axes].astype(like.dtype), (*values.shape, *like.shape[2:]))
    )


def _close(found: np.ndarray, expected: np.ndarray) -> bool:
    """Within a share of each row's largest number: a cheap question, before the one by terms."""
    if found.shape != expected.shape:
        return False
    finite = np.where(np.isfinite(expected), expected, 0)
    largest = np.abs(finite).reshape(len(finite), -1).max(axis=1).reshape(-1, *(1,) * (finite.ndim - 1))
    same = (found == expected) | (np.abs(found - expected) <= _TOLERANCE * np.maximum(largest, 1e-30))
    return bool(same.all())
