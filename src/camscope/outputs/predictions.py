"""What a model puts out besides class scores: the base of segmentations, detections and embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.outputs.boxes import Frames


class Predictions(ABC):
    """What a model puts out besides class scores, for a batch. One kind for each kind of model."""

    @property
    def probabilities(self) -> Float[Array, "batch class"] | None:
        """The classes' probabilities, where they do not follow from the class scores; else None."""
        return None

    @property
    def covered(self) -> tuple[float, ...] | None:
        """The share of the layers' grids that the input takes along each axis; None where nothing is padded.

        Models that pad do it behind the input, at the end of each axis.
        """
        return None

    def fpn_levels_of(self, classes: Int[np.ndarray, " batch"]) -> Int[np.ndarray, " batch"] | None:
        """The level of the feature pyramid that each image's class gets its score from; None if there is no pyramid."""
        return None

    def on_photos(self, frames: Frames) -> Predictions:
        """The same, told where the photos lie that the inputs were made from; for what has no boxes that is nothing.

        Args:
            frames: of the batch.
        """
        return self

    @abstractmethod
    def images(self, index: Int[np.ndarray, " image"] | slice) -> Predictions:
        """The predictions for these images only."""
