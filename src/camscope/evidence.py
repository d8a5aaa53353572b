"""What a method may ask for, and what it gets."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float

from camscope.arrays import Array


class Need(enum.Enum):
    """What a method declares it needs, cheapest first. The planner gathers the union in the fewest passes."""

    ACTIVATIONS = "activations"
    """One forward, no autograd graph."""
    LINEAR_HEAD = "linear head"
    """A verified global average pooling + linear head on the layer. Nothing beyond the forward."""
    GRADIENTS = "gradients"
    """One backward per target, through the part after the layer only. None at all where the head is linear."""


@dataclass(frozen=True)
class LinearHead:
    """A head that is, verified on this very batch, score = Σ_k w_k · mean_ij(F_ij^k) + b (METHODS §1.0).

    Attributes:
        weights: w, the derivative of each target's score by each pooled channel.
        features: F, what is pooled: the layer's activations, or their ReLU where the model applies one
            between the layer and the pooling (torchvision's DenseNet).
    """

    weights: Float[Array, "batch target channel"]
    features: Float[Array, "batch channel *space"]


@dataclass(frozen=True)
class Evidence:
    """What was seen at one layer, for one set of targets. Arrays are of one library and on one device.

    Attributes:
        activations: A, the output of the target layer in canonical shape, whatever the framework's layout.
        gradients: ∂score/∂A. An axis of space has size 1 where the gradient is the same at every position
            (behind a linear head). None if no method asked.
        head: the linear head on this layer, or None if there is none or no method asked.
        seed: seeds whatever a method draws at random.
        shared: intermediate results that several methods use; see `camscope.methods.shared`.
    """

    activations: Float[Array, "batch channel *space"]
    gradients: Float[Array, "batch target channel *grid"] | None = None
    head: LinearHead | None = None
    seed: int = 0
    shared: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
