"""The few concepts whose sum a layer's activations on some images are, each with a heatmap on every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import Array, to_numpy
from camscope.evidence import Evidence
from camscope.methods.nmf import factorise
from camscope.results.explanation import Explanation
from camscope.targets import TargetInfo, class_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Concepts:
    """Deep feature factorisation of a batch (Collins, Achanta & Süsstrunk, ECCV 2018, arXiv:1806.10206).

    The concepts are found in all images together, so the same concept is the same thing everywhere. They know no
    target: they are what the layer sees, not evidence for a class.

    Attributes:
        explanation: the heatmaps, one "target" for each concept, strongest first, with all an explanation can do
            (figure, overlays, masks, boxes, save). Its scores are each concept's mean strength in each image.
        vectors: each concept's features, of length 1.
        class_scores: what each concept adds to the score of each class, per unit of its mean strength; None if the
            head is not one linear layer on this layer, so that a concept has no score of its own.
    """

    explanation: Explanation
    vectors: Float[Array, "concept channel"]
    class_scores: Float[Array, "concept class"] | None

    def classes(self, concept: int, k: int = 3) -> list[tuple[int, str, float]]:
        """The k classes to which a concept adds most: index, name, score. Empty if concepts have no score of their own.

        Args:
            concept: the number of the concept.
            k: how many classes.
        """
        if self.class_scores is None:
            return []
        scores = to_numpy(self.class_scores)[concept]
        return [
            (int(i), class_name(int(i), self.explanation.class_names), float(scores[i]))
            for i in (-scores).argsort()[:k]
        ]

    def figure(self, image: int = 0, **options: Any) -> Figure:
        """The photo and each concept's heatmap, all on one scale, so that a weak concept looks weak.

        Args:
            image: the number of the image in the batch.
            options: options of `Explanation.figure`.
        """
        return self.explanation.figure(image, **{"scale": "batch", "colorbar_label": "strength", **options})

    def _repr_html_(self) -> str:
        return self.explanation._repr_html_()


def found_in(
    evidence: Evidence, count: int, *, steps: int, seed: int
) -> tuple[
    Float[Array, "batch concept *space"],
    Float[Array, "concept channel"],
    Float[Array, "concept class"] | None,
]:
    """The concepts' heatmaps and vectors, and what a linear head makes of each (W · vector), if there is one.

    Args:
        evidence: the evidence at one layer, with the head's weights for every class.
        count: how many concepts.
        steps: how many steps the factorisation takes at most.
        seed: the seed of its random start.

    Raises:
        MethodError: see `camscope.methods.nmf.factorise`.
    """
    heatmaps, vectors = factorise(evidence.activations, count, steps=steps, seed=seed)
    if evidence.head is None:
        return heatmaps, vectors, None
    rows = array_namespace(vectors).matrix_transpose(evidence.head.weights[0])
    return heatmaps, vectors, vectors @ rows


def labels(
    count: int, class_scores: Float[Array, "concept class"] | None, class_names: Sequence[str] | None
) -> tuple[TargetInfo, ...]:
    """The labels of concepts, such as `concept 1: tabby`: a number, and the class to which the concept adds most.

    Args:
        count: how many concepts.
        class_scores: what each concept adds to each class; None leaves the classes out.
        class_names: the names of all classes; None if they are not known.
    """
    tops = [None] * count if class_scores is None else to_numpy(class_scores).argmax(axis=1).tolist()
    return tuple(
        TargetInfo(
            None, f"concept {k + 1}" + ("" if top is None else f": {class_name(top, class_names)}"), None, 1
        )
        for k, top in enumerate(tops)
    )
