"""Scores of what a model puts out besides class scores: of a region, an instance, an embedding."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.outputs import Of, Outputs


@dataclass(frozen=True, eq=False, kw_only=True)
class OutputScore(ABC):
    """A score of what a model puts out besides class scores, image by image.

    Every NumPy array among its fields has one row for each image.

    Attributes:
        labels: what it is about in words, one for each image.
        of: which score.
        outlines: x0, y0, x1, y1 of each image's instance, in shares of the input's size; None for what has no box.
        fpn_levels: the level of the feature pyramid that each comes from; None if there is no such thing.
    """

    labels: tuple[str, ...]
    of: Of = "logit"
    outlines: Float[np.ndarray, "batch 4"] | None = None
    fpn_levels: Int[np.ndarray, batch] | None = None

    @property
    def kind(self) -> Hashable:
        """The same for scores that can stand in one column, image by image."""
        return type(self), self.of

    @property
    def placed(self) -> bool:
        """Whether it is at a place of the input, which a mirrored copy has elsewhere."""
        return False

    @abstractmethod
    def __call__(self, outputs: Outputs) -> Float[Array, batch]:
        """Its value for each image, differentiable wherever the outputs are."""

    def images(self, index: Int[np.ndarray, image]) -> Self:
        """The same for these images, in this order, as often as they are named."""
        return dataclasses.replace(
            self,
            labels=tuple(self.labels[i] for i in index.tolist()),
            **{name: rows[index] for name, rows in self._by_image().items()},
        )

    @classmethod
    def stacked(cls, scores: Sequence[Self]) -> Self:
        """One score for the images of all, in this order."""
        arrays = [score._by_image() for score in scores]
        joined: dict[str, Any] = {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}
        return dataclasses.replace(
            scores[0],
            labels=tuple(label for score in scores for label in score.labels),
            **joined,
        )

    def _by_image(self) -> dict[str, Any]:
        """The fields that hold a row for each image."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
