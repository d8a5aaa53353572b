"""What a model puts out besides class scores: the base of segmentations, detections and embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array


class Predictions(ABC):
    """What a model puts out besides class scores, for a batch. One kind for each kind of model."""

    @property
    def probabilities(self) -> Float[Array, "batch class"] | None:
        """The classes' probabilities, where they are not those of their scores."""
        return None

    @property
    def covered(self) -> tuple[float, ...] | None:
        """How much of the layers' grids the input takes along each axis, where the model pads it behind; else None."""
        return None

    def fpn_levels_of(self, classes: Int[np.ndarray, batch]) -> Int[np.ndarray, batch] | None:
        """The level of the feature pyramid that each image's class gets its score from; None if there is no pyramid."""
        return None

    @abstractmethod
    def images(self, index: Int[np.ndarray, image] | slice) -> Predictions:
        """The same for these images."""
