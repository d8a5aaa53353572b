"""Embeddings, and how alike two are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array, from_numpy
from camscope.errors import TargetError
from camscope.targets.outputs import Outputs
from camscope.targets.structure import OutputScore, Structure, StructuredTarget


@dataclass(frozen=True, eq=False)
class Embedding(Structure):
    """What an image is as one vector, where the class scores are made of it (CLIP)."""

    vectors: Float[Array, "batch feature"]

    def images(self, index: Int[np.ndarray, image] | slice) -> Embedding:
        """The same for these images."""
        return Embedding(self.vectors[index])


@dataclass(frozen=True, eq=False)
class Similarity(StructuredTarget):
    """How alike the image's embedding is to another: their cosine, from −1 to 1.

    Attributes:
        to: one embedding for all images, or one for each; see `Explainer.embed`.
        name: what it is of, for labels.
        sign: −1 for what makes them different.
    """

    to: Float[Array, "*batch feature"] | Sequence[float]
    name: str = "another"
    sign: int = 1

    def __neg__(self) -> Similarity:
        return replace(self, sign=-self.sign)

    def of_images(self, index: Int[np.ndarray, image]) -> Self:
        """The target for some of the images."""
        given = np.asarray(_host(self.to), dtype=np.float64)
        return self if given.ndim == 1 else replace(self, to=given[index])

    def score(self, outputs: Outputs, class_names: Sequence[str] | None) -> CosineScore:
        """The cosine with each image's embedding.

        Raises:
            TargetError: if the embeddings are of another length, not one for each image, zero or not finite.
        """
        vectors = embeddings(outputs)
        batch, features = vectors.shape
        given = np.asarray(_host(self.to), dtype=np.float64)
        rows = np.broadcast_to(given, (batch, *given.shape)) if given.ndim == 1 else given
        if rows.shape != (batch, features):
            raise TargetError(
                f"Similarity to an embedding of shape {given.shape}: this model's have shape ({features},), or "
                f"({batch}, {features}) with one for each image. Explainer.embed(photo) gives them."
            )
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(rows).all() or not (length > 0).all():
            raise TargetError("Similarity to an embedding that is zero, NaN or infinite has no meaning.")
        return CosineScore(rows / length, self.name)


@dataclass(frozen=True, eq=False)
class CosineScore(OutputScore):
    """The cosine of each image's embedding and a vector of length 1."""

    to: Float[np.ndarray, "batch feature"]
    name: str

    @property
    def labels(self) -> Sequence[str]:
        """The same for every image."""
        return (f"similarity to {self.name}",) * len(self.to)

    def __call__(self, outputs: Outputs) -> Float[Array, batch]:
        """cos(f(x), e)."""
        vectors = embeddings(outputs)
        xp = array_namespace(vectors)
        length = xp.sqrt(xp.sum(vectors * vectors, axis=1))
        return xp.sum(vectors * from_numpy(self.to, like=vectors), axis=1) / length

    def images(self, index: Int[np.ndarray, image]) -> CosineScore:
        """The same for these images."""
        return replace(self, to=self.to[index])

    @classmethod
    def stacked(cls, rows: Sequence[CosineScore]) -> CosineScore:
        """One score for the images of all."""
        return cls(np.concatenate([row.to for row in rows]), rows[0].name)


def embeddings(outputs: Outputs) -> Float[Array, "batch feature"]:
    """Each image's vector: what the class scores are made of, or else the model's output itself."""
    return outputs.structure.vectors if isinstance(outputs.structure, Embedding) else outputs.logits


def _host(given: Any) -> Any:
    return given.detach().cpu() if hasattr(given, "detach") else given
