"""The linear head: found by name once, verified by numbers on every batch, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import nn

from camscope.models.torch.precision import close


@dataclass(frozen=True)
class Features:
    """What is averaged over space to make a classifier's input.

    Attributes:
        values: the layer's activations, or their ReLU where the model applies one in between.
        activations_themselves: whether they are the activations, and not their ReLU.
    """

    values: Float[torch.Tensor, "batch channel *space"]
    activations_themselves: bool


@dataclass(frozen=True)
class Pooled:
    """A classifier's input on some batch.

    Attributes:
        values: averaged over space if it still had space.
        rounding: the relative rounding of the precision the model ran in.
    """

    values: Float[torch.Tensor, "batch channel"]
    rounding: float

    def features(self, activations: Float[torch.Tensor, "batch channel *space"]) -> Features | None:
        """What of a layer is averaged into this input: its activations or their ReLU; None if it is neither."""
        if activations.shape[:2] != self.values.shape:
            return None
        tolerance = max(1e-4, 8 * self.rounding)
        if close(activations.flatten(2).mean(2), self.values, tolerance):
            return Features(activations, activations_themselves=True)
        rectified = activations.clamp(min=0)
        if close(rectified.flatten(2).mean(2), self.values, tolerance):
            return Features(rectified, activations_themselves=False)
        return None


@dataclass(frozen=True)
class Classifier:
    """The last linear layer (or 1×1 convolution) as it ran on this batch.

    Attributes:
        weight: one row per output.
        pooled: its input.
    """

    weight: Float[torch.Tensor, "output channel"]
    pooled: Pooled


def _pooled_input(module: nn.Module, x: torch.Tensor) -> Pooled | None:
    """What went into a linear layer or 1×1 convolution, averaged over space; None if it is no batch of features."""
    rounding = torch.finfo(x.dtype).eps
    x = x.detach()
    x = x.float() if rounding > 1e-5 else x
    if x.ndim > 2:
        channels_first = isinstance(module, nn.modules.conv._ConvNd)
        x = x.flatten(2).mean(2) if channels_first else x.flatten(1, -2).mean(1)
    return Pooled(x, rounding) if x.ndim == 2 else None


def verified(
    module: nn.Module, x: torch.Tensor | None, logits: Float[torch.Tensor, batch * output]
) -> Classifier | None:
    """The classifier, if W · mean(x) + b is, in numbers, what the model puts out; else None.

    Args:
        module: the last linear layer or 1×1 convolution.
        x: what went into it.
        logits: what the model put out.
    """
    pooled = _pooled_input(module, x) if x is not None else None
    if pooled is None:
        return None
    weight = cast(torch.Tensor, module.weight).detach().flatten(1).to(pooled.values.dtype)
    logits = logits.detach().reshape(logits.shape[0], -1)  # one logit may have lost its axis
    if pooled.values.shape != (logits.shape[0], weight.shape[1]):
        return None
    bias = module.bias
    output = pooled.values @ weight.T
    if isinstance(bias, torch.Tensor):
        output = output + bias.detach().to(output.dtype)
    if not close(output, logits.to(output.dtype), max(1e-3, 8 * pooled.rounding)):
        return None
    return Classifier(weight, pooled)
