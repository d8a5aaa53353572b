"""What a model says of the images that are held out, and how well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from camscope.training.batching import Batches
from camscope.training.labelled import LabelledImages
from camscope.training.objectives import Loss


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
        scores: by name.
        by_class: of each class.
        confusion: how many images of each class were taken for which; None where an image may have several.
    """

    loss: float
    scores: dict[str, float]
    by_class: dict[str, list[float]]
    confusion: Int[np.ndarray, "truth predicted"] | None

    def row(self) -> dict[str, float]:
        """What belongs into an epoch's row."""
        return {"val_loss": self.loss, **self.scores}

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """All of it, as JSON has it.

        Args:
            classes: their names.
        """
        confusion = None if self.confusion is None else self.confusion.tolist()
        return {**self.row(), "classes": list(classes), "by_class": self.by_class, "confusion": confusion}


def judge(model: Any, batches: Batches, loss: Loss, accelerator: Any, labelled: LabelledImages) -> Judged:
    """How well a model does; it is left in eval mode.

    Args:
        model: a `torch.nn.Module` on the accelerator's device.
        batches: of the images that are held out.
        loss: of logits and targets.
        accelerator: of Accelerate.
        labelled: the images.
    """
    said = predict(model, batches, loss, accelerator)
    truth = labelled.targets[said.indices]
    right = (said.logits.argmax(1) == truth.argmax(1)).mean()
    return Judged(said.loss, {"accuracy": float(right)}, {}, None)
