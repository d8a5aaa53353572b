"""The linear head: found by name once, verified by numbers on every batch, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import nn

from camscope.models.torch.precision import rounding, same_rows, widened


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
        values: averaged over space if it still had space; on the autograd graph, if there is one.
        tolerance: the share of its terms that a number may be off by rounding, in the precision the model ran in.
    """

    values: Float[torch.Tensor, "batch channel"]
    tolerance: float

    def features(self, activations: Float[torch.Tensor, "batch channel *space"]) -> Features | None:
        """What of a layer is averaged into this input: its activations or their ReLU; None if it is neither."""
        if activations.shape[:2] != self.values.shape:
            return None
        if self._is_mean_of(activations):
            return Features(activations, activations_themselves=True)
        rectified = activations.clamp(min=0)
        return Features(rectified, activations_themselves=False) if self._is_mean_of(rectified) else None

    def _is_mean_of(self, features: Float[torch.Tensor, "batch channel *space"]) -> bool:
        positions = features.flatten(2)
        mean, size = positions.mean(2), positions.abs().mean(2)
        return bool(same_rows(mean, self.values.detach(), size, self.tolerance).all())

    def passes_gradients_evenly(
        self,
        activations: Float[torch.Tensor, "batch channel *space"],
        gradient: Float[torch.Tensor, "batch channel *space"],
        probe: Float[torch.Tensor, "batch channel"],
    ) -> bool:
        """Whether the backward spreads a gradient evenly over the positions, as it does through a mean.

        It does not where a ReLU stands between a layer without negative activations and the pooling: that ReLU changes
        no value, but sends nothing back to the positions that are zero.

        Args:
            activations: of the layer. They tell the number of positions.
            gradient: what came back to them.
            probe: what was sent back from this input.
        """
        even = probe / activations.shape[2:].numel()
        even = even[(..., *(None,) * (activations.ndim - 2))].expand_as(activations)
        return bool(same_rows(gradient, even, even.abs(), self.tolerance).all())


@dataclass(frozen=True)
class Classifier:
    """The last linear layer (or 1×1 convolution) as it ran on this batch.

    Attributes:
        weight: one row per output.
        bias: of each output; zeros if the layer has none.
        pooled: its input.
    """

    weight: Float[torch.Tensor, "output channel"]
    bias: Float[torch.Tensor, " output"]
    pooled: Pooled

    def logits(
        self, pooled: Float[torch.Tensor, "batch channel"]
    ) -> tuple[Float[torch.Tensor, "batch output"], Float[torch.Tensor, "batch output"]]:
        """W · x + b, and the size of the terms of each of these sums, |W| · |x| + |b|."""
        return (
            pooled @ self.weight.T + self.bias,
            pooled.abs() @ self.weight.abs().T + self.bias.abs(),
        )


def _pooled_input(module: nn.Module, x: torch.Tensor, tolerance: float) -> Pooled | None:
    """What went into a linear layer or 1×1 convolution, averaged over space; None if it is no batch of features."""
    x = widened(x)
    if x.ndim > 2:
        if isinstance(module, nn.modules.conv._ConvNd):
            x = rearrange(x, "b c ... -> b c (...)").mean(2)
        else:
            x = x.flatten(1, -2).mean(1)
    return Pooled(x, tolerance) if x.ndim == 2 else None


def verified(
    module: nn.Module, x: torch.Tensor | None, logits: Float[torch.Tensor, " batch *output"]
) -> Classifier | None:
    """The classifier, if W · mean(x) + b is, in numbers, what the model puts out; else None.

    Args:
        module: the last linear layer or 1×1 convolution.
        x: what went into it.
        logits: what the model put out.
    """
    if x is None or not x.is_floating_point():
        return None
    pooled = _pooled_input(module, x, rounding(x.dtype, logits.dtype))
    if pooled is None:
        return None
    dtype = pooled.values.dtype
    weight = cast(torch.Tensor, module.weight).detach().flatten(1).to(dtype)
    logits = logits.detach().reshape(logits.shape[0], -1)  # one logit may have lost its axis
    if pooled.values.shape != (logits.shape[0], weight.shape[1]) or logits.shape[1] != len(weight):
        return None
    bias = module.bias
    bias = bias.detach().to(dtype) if isinstance(bias, torch.Tensor) else weight.new_zeros(len(weight))
    classifier = Classifier(weight, bias, pooled)
    return classifier if is_right(classifier, logits) else None


def is_right(classifier: Classifier, logits: Float[torch.Tensor, " batch *output"]) -> bool:
    """Whether W · x + b is what the model puts out: every logit of every image, within the rounding of its terms.

    Args:
        classifier: W, b and x.
        logits: what the model put out.
    """
    pooled = classifier.pooled
    logits = logits.detach().reshape(logits.shape[0], -1)  # one logit may have lost its axis
    expected, size = classifier.logits(pooled.values.detach())
    # what the model masks out by −∞ is constant, and the other classes are as without a mask
    expected = torch.where(logits.isneginf(), logits.to(expected), expected)
    return bool(same_rows(logits.to(expected), expected, size, pooled.tolerance).all())
