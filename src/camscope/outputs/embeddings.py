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
    """What an image is as one vector, where the class scores are made of it (CLIP)."""

    vectors: Float[Array, "batch feature"]

    def images(self, index: Int[np.ndarray, image] | slice) -> Embedding:
        """The same for these images."""
        return Embedding(self.vectors[index])


def embeddings(outputs: Outputs) -> Float[Array, "batch feature"]:
    """Each image's vector: what the class scores are made of, or else the model's output itself."""
    return outputs.predictions.vectors if isinstance(outputs.predictions, Embedding) else outputs.logits
