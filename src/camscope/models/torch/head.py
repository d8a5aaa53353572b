"""The linear head: found by name once, verified by numbers on every batch, never guessed (METHODS §1.0, §1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from jaxtyping import Float

import torch
from torch import nn


@dataclass(frozen=True)
class Classifier:
    """The last linear layer (or 1×1 convolution) as it ran on this batch.

    Attributes:
        weight: one row per output.
        pooled: its input, averaged over space if it still has space.
        rounding: the relative rounding of the precision the model ran in.
    """

    weight: Float[torch.Tensor, "output channel"]
    pooled: Float[torch.Tensor, "batch channel"]
    rounding: float

    def pools(
        self, activations: Float[torch.Tensor, "batch channel *space"]
    ) -> Float[torch.Tensor, "batch channel *space"] | None:
        """What is averaged over space to make this layer's input: the activations, their ReLU, or None of both."""
        if activations.shape[1] != self.pooled.shape[1]:
            return None
        tolerance = max(1e-4, 8 * self.rounding)
        if _close(activations.flatten(2).mean(2), self.pooled, tolerance):
            return activations
        rectified = activations.clamp(min=0)
        return rectified if _close(rectified.flatten(2).mean(2), self.pooled, tolerance) else None


def verified(
    module: nn.Module, x: torch.Tensor | None, logits: Float[torch.Tensor, "batch output"]
) -> Classifier | None:
    """The classifier, if W · mean(x) + b is, in numbers, what the model puts out; else None.

    Args:
        module: the last linear layer or 1×1 convolution.
        x: what went into it.
        logits: what the model put out.
    """
    if x is None:
        return None
    x = x.detach()
    rounding = torch.finfo(x.dtype).eps
    x = x.float() if rounding > 1e-5 else x
    weight = cast(torch.Tensor, module.weight).detach().flatten(1).to(x.dtype)
    if x.ndim > 2:
        channels_first = isinstance(module, nn.modules.conv._ConvNd)
        x = x.flatten(2).mean(2) if channels_first else x.flatten(1, -2).mean(1)
    if x.ndim != 2 or x.shape != (logits.shape[0], weight.shape[1]):
        return None
    bias = module.bias
    output = x @ weight.T + (bias.detach().to(x.dtype) if isinstance(bias, torch.Tensor) else 0)
    if not _close(output, logits.detach().to(x.dtype), max(1e-3, 8 * rounding)):
        return None
    return Classifier(weight, x, rounding)


def _close(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max())
