"""The losses: cross-entropy where an image has one class, binary cross-entropy where it may have several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

Loss: TypeAlias = Callable[[Any, Any], Any]
"""From logits `batch class` and targets (`batch`, or `batch class`) to the mean loss."""


def classification_loss(multilabel: bool, *, smoothing: float = 0.0, weights: Any = None) -> Loss:
    """The loss of a classifier's logits.

    Args:
        multilabel: whether an image may have several classes.
        smoothing: label smoothing (Szegedy et al. 2016, arXiv:1512.00567): the truth is spread over all classes by
            this share; of several classes each is drawn to 1/2 by it.
        weights: of each class, a tensor `class`; of several classes they weigh where the class is present. None
            weighs all the same.
    """
    from torch.nn import functional

    def several(logits: Any, targets: Any) -> Any:
        smooth = targets * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits.float(), smooth, pos_weight=weights)

    def single(logits: Any, targets: Any) -> Any:
        return functional.cross_entropy(logits.float(), targets, weights, label_smoothing=smoothing)

    return several if multilabel else single


def balanced_weights(
    targets: Bool[np.ndarray, "image class"], multilabel: bool
) -> Float[np.ndarray, " class"]:
    """Weights that make up for classes of different sizes.

    Of single classes N / (K · N_c), so that every class counts the same; of several the absent to the present, N⁻/N⁺,
    at most 100.

    Args:
        targets: which classes each training image has.
        multilabel: whether they may be several.
    """
    count = targets.sum(axis=0)
    present = np.maximum(count, 1)
    if multilabel:
        return np.asarray(np.clip((len(targets) - count) / present, 0.01, 100.0))
    return np.where(count > 0, len(targets) / (np.count_nonzero(count) * present), 0.0)
