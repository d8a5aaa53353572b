"""How similar an image's embedding is to another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array, from_numpy, to_numpy
from camscope.errors import TargetError
from camscope.outputs import Outputs, embeddings
from camscope.targets.scores import OutputScore
from camscope.targets.target import PredictionTarget


@dataclass(frozen=True, eq=False)
class Similarity(PredictionTarget):
    """How similar the image's embedding is to another: their cosine, from −1 to 1.

    Attributes:
        to: one embedding for all images, or one for each; `Explainer.embed` gives them.
        name: what the other embedding is of, for labels.
        sign: −1 for what makes them different.

    Example:
        >>> with torch.no_grad():
        ...     other = model(x[:1])[0]
        >>> e = camscope.explain(model, x, targets=camscope.Similarity(other))
        >>> round(float(e.scores[0, 0]), 3)
        1.0
    """

    to: Float[Array, "*batch feature"] | Sequence[float]
    name: str = "another"
    sign: int = 1

    def of_images(self, index: Int[np.ndarray, " image"]) -> Self:
        """The target for some of the images."""
        given = np.asarray(to_numpy(self.to), dtype=np.float64)
        return self if given.ndim == 1 else replace(self, to=given[index])

    def score(self, outputs: Outputs, class_names: Sequence[str] | None) -> CosineScore:
        """The cosine with each image's embedding.

        Raises:
            TargetError: if the embeddings are of another length, not one for each image, zero or not finite.
        """
        vectors = embeddings(outputs)
        batch, features = vectors.shape
        given = np.asarray(to_numpy(self.to), dtype=np.float64)
        rows = np.broadcast_to(given, (batch, *given.shape)) if given.ndim == 1 else given
        if rows.shape != (batch, features):
            raise TargetError(
                f"Similarity to an embedding of shape {given.shape}: this model's have shape ({features},), or "
                f"({batch}, {features}) with one for each image. Explainer.embed(photo) gives them."
            )
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(rows).all() or not (length > 0).all():
            raise TargetError("Similarity to an embedding that is zero, NaN or infinite has no meaning.")
        return CosineScore(to=rows / length, labels=(f"similarity to {self.name}",) * batch)


@dataclass(frozen=True, eq=False, kw_only=True)
class CosineScore(OutputScore):
    """The cosine of each image's embedding and another vector.

    Attributes:
        to: the other vector for each image, of length 1.
    """

    to: Float[np.ndarray, "batch feature"]

    def __call__(self, outputs: Outputs) -> Float[Array, " batch"]:
        """cos(f(x), e)."""
        vectors = embeddings(outputs)
        xp = array_namespace(vectors)
        length = xp.sqrt(xp.sum(vectors * vectors, axis=1))
        return xp.sum(vectors * from_numpy(self.to, like=vectors), axis=1) / length

    def slopes(self, outputs: Outputs) -> Float[np.ndarray, "batch feature"]:
        """(e − cos · f/|f|) / |f|, of an embedding that is the model's own output."""
        if outputs.predictions is not None:
            return super().slopes(outputs)
        vectors = to_numpy(outputs.logits).astype(np.float64)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = vectors / length
        found: np.ndarray = (self.to - (unit * self.to).sum(axis=1, keepdims=True) * unit) / length
        return found
