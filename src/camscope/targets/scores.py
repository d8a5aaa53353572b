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
from camscope.errors import TargetError
from camscope.outputs import Of, Outputs


def scored(of: Of, name: str) -> str:
    """A class with its kind of score, in words: `tabby` for a logit, else such as `probability of tabby`."""
    return name if of == "logit" else f"{of} of {name}"


@dataclass(frozen=True, eq=False, kw_only=True)
class OutputScore(ABC):
    """A score of what a model puts out besides class scores, image by image.

    Every NumPy array among its fields has one row for each image.

    Attributes:
        labels: for each image, in words, what the score is about.
        of: which kind of score.
        outlines: x0, y0, x1, y1 of each image's instance, in shares of the input's size; None if it has no box.
        fpn_levels: the FPN level that each image's score comes from; None if there is no pyramid.
        probabilities: how sure the model is of each image's instance, as it ranks them; None if that is not known.
    """

    labels: tuple[str, ...]
    of: Of = "logit"
    outlines: Float[np.ndarray, "batch 4"] | None = None
    fpn_levels: Int[np.ndarray, " batch"] | None = None
    probabilities: Float[np.ndarray, " batch"] | None = None

    @property
    def kind(self) -> Hashable:
        """Scores of the same kind can share a column of the table of targets, each for its own images."""
        return type(self), self.of

    @property
    def placed(self) -> bool:
        """Whether it belongs to a place of the input, which lies elsewhere in a mirrored copy."""
        return False

    @abstractmethod
    def __call__(self, outputs: Outputs) -> Float[Array, " batch"]:
        """The score of each image, differentiable wherever the outputs are."""

    def slopes(self, outputs: Outputs) -> Float[np.ndarray, "batch class *space"]:
        """∂score/∂logit, for frameworks that differentiate only the model.

        Args:
            outputs: as they are scored.

        Raises:
            TargetError: if it is not known in closed form. That is the default.
        """
        raise TargetError(
            f"The gradient of {self.labels[0]} is known on PyTorch only. Name a class, or take a method without "
            "gradients."
        )

    def images(self, index: Int[np.ndarray, " image"]) -> Self:
        """The score of these images, in this order; an image may be named several times."""
        return dataclasses.replace(
            self,
            labels=tuple(self.labels[i] for i in index.tolist()),
            **{name: rows[index] for name, rows in self._by_image().items()},
        )

    @classmethod
    def stacked(cls, scores: Sequence[Self]) -> Self:
        """One score for all images of several scores, in this order."""
        arrays = [score._by_image() for score in scores]
        in_one: dict[str, Any] = {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}
        return dataclasses.replace(
            scores[0],
            labels=tuple(label for score in scores for label in score.labels),
            **in_one,
        )

    def _by_image(self) -> dict[str, Any]:
        """The fields that have a row for each image."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
