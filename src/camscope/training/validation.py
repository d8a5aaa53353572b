"""What a model says of the images that are held out, and how well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from camscope.training.batching import Batches
from camscope.training.objectives import Loss
from camscope.training.performance import Performance, assess


@dataclass(frozen=True)
class Predicted:
    """What a model said.

    Attributes:
        indices: of the images, among all that are labelled.
        logits: of each.
        loss: the mean over them.
    """

    indices: Int[np.ndarray, " image"]
    logits: Float[np.ndarray, "image class"]
    loss: float


def predict(model: Any, batches: Batches, loss: Loss, accelerator: Any) -> Predicted:
    """Run a model in eval mode, without gradients; it is left in that mode.

    Args:
        model: a `torch.nn.Module` on the accelerator's device.
        batches: of the images that are held out.
        loss: of logits and targets.
        accelerator: of Accelerate.
    """
    import torch

    model.eval()
    indices, logits, total = [], [], 0.0
    with torch.no_grad():
        for batch in batches.epoch(0):
            x, y = (part.to(accelerator.device, non_blocking=True) for part in (batch.x, batch.y))
            with accelerator.autocast():
                said = model(x)
            total += float(loss(said, y)) * len(x)
            logits.append(said.float().cpu().numpy())
            indices.append(batch.indices.numpy())
    chosen = np.concatenate(indices)
    return Predicted(chosen, np.concatenate(logits), total / len(chosen))


@dataclass(frozen=True)
class Judged:
    """How well a model does on the images that are held out.

    Attributes:
        loss: the mean.
        performance: its scores.
        predicted: what it said.
    """

    loss: float
    performance: Performance
    predicted: Predicted

    @property
    def row(self) -> dict[str, float]:
        """What belongs into an epoch's row."""
        return {"val_loss": self.loss, **self.performance.scores}

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """All of it, as JSON has it.

        Args:
            classes: their names.
        """
        found = self.performance
        confusion = None if found.confusion is None else found.confusion.tolist()
        return {**self.row, "classes": list(classes), "by_class": found.by_class, "confusion": confusion}


def judge(model: Any, batches: Batches, loss: Loss, accelerator: Any) -> Judged:
    """How well a model does; it is left in eval mode.

    Args:
        model: a `torch.nn.Module` on the accelerator's device.
        batches: of the images that are held out.
        loss: of logits and targets.
        accelerator: of Accelerate.

    Raises:
        InputError: if logits are not finite.
    """
    said = predict(model, batches, loss, accelerator)
    labelled = batches.labelled
    found = assess(labelled.targets[said.indices], said.logits, multilabel=labelled.multilabel)
    return Judged(said.loss, found, said)
