"""Targets of what a model puts out besides class scores: regions of a segmentation, instances, embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array

if TYPE_CHECKING:
    from camscope.targets.outputs import Outputs


class Structure(ABC):
    """What a model puts out besides class scores, for a batch. One kind for each kind of model."""

    @property
    def default(self) -> Any:
        """The target where none is asked for; None for the top class."""
        return None

    @property
    def probabilities(self) -> Float[Array, "batch class"] | None:
        """The classes' probabilities, where they are not those of their scores."""
        return None

    @property
    def covered(self) -> tuple[float, ...] | None:
        """How much of the layers' grids the input takes along each axis, where the model pads it behind; else None."""
        return None

    def levels_of(self, classes: Int[np.ndarray, batch]) -> Int[np.ndarray, batch] | None:
        """The level of the model's pyramid that each image's class gets its score from; None if it has no pyramid."""
        return None

    @abstractmethod
    def images(self, index: Int[np.ndarray, image] | slice) -> Structure:
        """The same for these images."""


class OutputScore(ABC):
    """A score of what a model puts out besides class scores (a region, an instance, an embedding), image by image."""

    @property
    @abstractmethod
    def labels(self) -> Sequence[str]:
        """What it is about in words, one for each image."""

    @property
    def kind(self) -> Hashable:
        """The same for scores that can stand in one column, image by image."""
        return type(self)

    @property
    def placed(self) -> bool:
        """Whether it is at a place of the input, which a mirrored copy has elsewhere."""
        return False

    @property
    def outlines(self) -> Float[np.ndarray, "batch 4"] | None:
        """x0, y0, x1, y1 of each image's instance, in shares of the input's size; None for what has no box."""
        return None

    @property
    def levels(self) -> Int[np.ndarray, batch] | None:
        """The level of the model's pyramid that each comes from; None if there is no such thing."""
        return None

    @abstractmethod
    def __call__(self, outputs: Outputs) -> Float[Array, batch]:
        """Its value for each image, differentiable wherever the outputs are."""

    @abstractmethod
    def images(self, index: Int[np.ndarray, image]) -> Self:
        """The same for these images, in this order, as often as they are named."""

    @classmethod
    @abstractmethod
    def stacked(cls, rows: Sequence[Self]) -> Self:
        """One score for the images of all, in this order."""


class StructuredTarget(ABC):
    """A target that is found in a structure. `sign` −1 is the evidence against it."""

    sign: int

    def of_images(self, index: Int[np.ndarray, image]) -> Self:
        """The target for some of the images, where it holds something for each."""
        return self

    @abstractmethod
    def score(self, outputs: Outputs, class_names: Sequence[str] | None) -> OutputScore:
        """Find it in the outputs of a batch.

        Raises:
            TargetError: if the model's outputs have no such thing, or it is not there.
        """
