"""What decoders of detectors have in common: all candidates of a forward beside what the model returned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from camscope.models.batch import Batch
from camscope.outputs import Detections


class WithCandidates:
    """What a detector returned, with all candidates.

    Attributes:
        detections: the candidates, before non-maximum suppression.
    """

    detections: Detections | None = None


class OfCandidates:
    """The part of an output decoder that reads candidates."""

    def logits(self, raw: WithCandidates) -> Float[torch.Tensor, "batch class"]:
        """The logit of each class: that of its best candidate."""
        assert raw.detections is not None
        scores: torch.Tensor = raw.detections.scores
        return scores

    def predictions(self, raw: WithCandidates, batch: Batch) -> Detections | None:
        """All candidates."""
        return raw.detections


def levels_of_anchors(counts: Sequence[int], batch: int) -> Int[np.ndarray, "batch anchor"]:
    """The level of the feature pyramid that each anchor is of: they are listed level by level.

    Args:
        counts: how many each level has.
        batch: how many images.
    """
    return np.broadcast_to(np.repeat(np.arange(len(counts)), counts), (batch, sum(counts)))
