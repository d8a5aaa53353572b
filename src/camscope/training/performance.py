"""How well a model tells the classes of images that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from camscope.errors import InputError


@dataclass(frozen=True, eq=False)
class Performance:
    """How well logits fit the truth.

    Attributes:
        accuracy: the share of images whose class is right; where an image may have several, whose classes all are.
        macro_f1: the mean of `f1` over classes that occur or are predicted.
        mean_average_precision: the mean of `average_precision` over classes that occur.
        average_precision: of each class, Σ (R_n − R_{n−1}) P_n over its images by falling score; NaN where it does not
            occur.
        precision: of each class: TP / (TP + FP); 0 where it is never predicted, NaN where it does not occur either.
        recall: of each class: TP / (TP + FN); NaN where it does not occur.
        f1: of each class: 2·TP / (2·TP + FP + FN); NaN where it neither occurs nor is predicted.
        images: how many images have each class.
        confusion: how many images of each class were taken for which; None where an image may have several.
    """

    accuracy: float
    macro_f1: float
    mean_average_precision: float
    average_precision: Float64[np.ndarray, " class"]
    precision: Float64[np.ndarray, " class"]
    recall: Float64[np.ndarray, " class"]
    f1: Float64[np.ndarray, " class"]
    images: Int[np.ndarray, " class"]
    confusion: Int[np.ndarray, "truth predicted"] | None

    @property
    def scores(self) -> dict[str, float]:
        """The numbers that sum it up, by name."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "mean_average_precision": self.mean_average_precision,
        }

    @property
    def by_class(self) -> dict[str, list[float]]:
        """The numbers of each class, by name."""
        return {
            "images": self.images.tolist(),
            "precision": self.precision.tolist(),
            "recall": self.recall.tolist(),
            "f1": self.f1.tolist(),
            "average_precision": self.average_precision.tolist(),
        }


def assess(
    targets: Bool[np.ndarray, "image class"], logits: Float[np.ndarray, "image class"], *, multilabel: bool
) -> Performance:
    """Compare logits with the truth.

    A class is predicted where its logit is the highest; where an image may have several, where it is above 0
    (probability 1/2). Images are ranked by probability: the softmax over classes, or each class's own sigmoid.

    Args:
        targets: which classes each image has.
        logits: of each image and class.
        multilabel: whether an image may have several classes.

    Raises:
        InputError: there are no images, or logits that are not finite.
    """
    if not len(targets) or logits.shape != targets.shape:
        raise InputError(
            f"Expected logits like targets, of some images; got {logits.shape} and {targets.shape}."
        )
    if bad := int((~np.isfinite(logits)).any(1).sum()):
        raise InputError(
            f"The logits of {bad} of {len(logits)} images are not finite: the training has diverged. Try a lower "
            "learning rate, or go on from an earlier checkpoint."
        )
    logits = logits.astype(np.float64)
    predicted = logits > 0 if multilabel else logits.argmax(1)[:, None] == np.arange(logits.shape[1])
    ranked = logits if multilabel else logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    hit, said, real = (targets & predicted).sum(0), predicted.sum(0), targets.sum(0)
    precision = np.divide(hit, said, out=np.where(real > 0, 0.0, np.nan), where=said > 0)
    recall = np.divide(hit, real, out=np.full(len(hit), np.nan), where=real > 0)
    f1 = np.divide(2 * hit, said + real, out=np.full(len(hit), np.nan), where=said + real > 0)
    average = np.array([average_precision(*one) for one in zip(targets.T, ranked.T, strict=True)])
    return Performance(
        accuracy=float((targets == predicted).all(1).mean()),
        macro_f1=_mean(f1),
        mean_average_precision=_mean(average),
        average_precision=average,
        precision=precision,
        recall=recall,
        f1=f1,
        images=real,
        confusion=None if multilabel else targets.T.astype(np.int64) @ predicted.astype(np.int64),
    )


def average_precision(truth: Bool[np.ndarray, " image"], scores: Float[np.ndarray, " image"]) -> float:
    """The average precision of a ranking: Σ (R_n − R_{n−1}) P_n, where n runs over the distinct scores.

    Args:
        truth: which images have the class.
        scores: of each image; images of equal scores are taken together, so that their order does not matter.

    Returns:
        From 0 to 1; NaN if no image has the class.
    """
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of those with the same score
    hits = np.cumsum(truth[order])[last]
    precision = hits / (last + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / truth.sum())


def _mean(of_classes: Float64[np.ndarray, " class"]) -> float:
    """The mean of those that have a value; NaN if none has."""
    known = of_classes[~np.isnan(of_classes)]
    return float(known.mean()) if len(known) else float("nan")
