"""Class scores at every position: what a segmenter puts out."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from einops import rearrange
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array
from camscope.outputs.logits import Of, Outputs, Task
from camscope.outputs.predictions import Predictions


@dataclass(frozen=True, eq=False)
class Dense(Predictions):
    """Class scores at every position: a segmentation of images, signals or volumes.

    Attributes:
        logits: at the model's own resolution. A one-logit segmenter z is shown as its two classes, (−z, z).
        size: the size of the model's input, in pixels along each axis.
        task: what the logits mean.
    """

    logits: Float[Array, "batch class *space"]
    size: tuple[int, ...]
    task: Task

    @functools.cached_property
    def scores(self) -> Float[Array, "batch class"]:
        """The score of each class: its mean logit over all positions."""
        return _mean(self.logits)

    @functools.cached_property
    def probabilities(self) -> Float[Array, "batch class"] | None:
        """Each class's mean probability over all positions, its share of the area; None for a regression."""
        return None if self.task == "regression" else _mean(self.of("probability"))

    def of(self, score: Of) -> Float[Array, "batch class *space"]:
        """The classes' scores of one kind at each position."""
        if score == "logit":
            return self.logits
        batch, _, *space = self.logits.shape
        positions = Outputs(rearrange(self.logits, "b c ... -> (b ...) c"), self.task).of(score)
        return rearrange(positions.reshape(batch, -1, positions.shape[1]), "b n c -> b c n").reshape(
            batch, -1, *space
        )

    def predicted(self, classes: Int[np.ndarray, " batch"]) -> Bool[np.ndarray, " batch *space"]:
        """Where each image's class is predicted: where it is the most likely class.

        A multi-label model predicts a class wherever it is more likely than not.
        """
        if self.task == "multilabel":
            likely = [(row[c] > 0).tolist() for row, c in zip(self.logits, classes.tolist(), strict=True)]
            return np.asarray(likely, dtype=bool)
        there: np.ndarray = self._top == classes.reshape(-1, *(1,) * (self._top.ndim - 1))
        return there

    @functools.cached_property
    def areas(self) -> Int[np.ndarray, "batch class"]:
        """At how many positions each class is predicted."""
        xp = array_namespace(self.logits)
        count = self.logits.shape[1]
        if self.task == "multilabel":
            likely = xp.astype(self.logits > 0, xp.int64)
            return np.asarray(xp.sum(likely, axis=tuple(range(2, likely.ndim))).tolist())
        return np.stack([np.bincount(top.ravel(), minlength=count) for top in self._top])

    @functools.cached_property
    def _top(self) -> Int[np.ndarray, " batch *space"]:
        return np.asarray(array_namespace(self.logits).argmax(self.logits, axis=1).tolist())

    def images(self, index: Int[np.ndarray, " image"] | slice) -> Dense:
        """The scores of these images only."""
        return Dense(self.logits[index], self.size, self.task)


def _mean(values: Float[Array, "batch class *space"]) -> Float[Array, "batch class"]:
    return array_namespace(values).mean(values, axis=tuple(range(2, values.ndim)))
