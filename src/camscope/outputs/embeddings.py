"""Each input as one vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.outputs.logits import Outputs
from camscope.outputs.predictions import Predictions


@dataclass(frozen=True, eq=False)
class Embedding(Predictions):
    """Each image as one vector, in models that make the class scores from it (CLIP)."""

    vectors: Float[Array, "batch feature"]

    def images(self, index: Int[np.ndarray, " image"] | slice) -> Embedding:
        """The vectors of these images only."""
        return Embedding(self.vectors[index])


def embeddings(outputs: Outputs) -> Float[Array, "batch feature"]:
    """Each image's vector: the one that the class scores are made from, or else the model's output itself."""
    return outputs.predictions.vectors if isinstance(outputs.predictions, Embedding) else outputs.logits
