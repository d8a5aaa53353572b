"""What a model says of the images that are held out, and how well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from camscope.training.batching import Batches
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
