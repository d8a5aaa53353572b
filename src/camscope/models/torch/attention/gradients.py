"""Gradients of scores by attention probabilities and by what the attention puts out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped

from camscope.errors import TargetError
from camscope.models.torch.precision import widened


def gradients_of(
    scores: Float[torch.Tensor, "batch target"], tensors: Sequence[torch.Tensor]
) -> list[Float[torch.Tensor, "batch target head query _"]]:
    """∂score/∂tensor of each target: one backward per target, to the first of the tensors.

    Args:
        scores: on a graph that reaches the tensors.
        tensors: attention probabilities, or other tensors with heads; without the axis of heads they get one.

    Raises:
        TargetError: if the scores depend on none of them.
    """
    if not scores.requires_grad:
        raise TargetError(
            "The score does not depend on the attention by a gradient: the target function, or the model's forward, "
            "cuts the graph (no_grad, detach, argmax)."
        )
    count = scores.shape[1]
    per_target = []
    for t in range(count):
        found = torch.autograd.grad(
            scores[:, t].sum(), tensors, retain_graph=t + 1 < count, allow_unused=True
        )
        per_target.append(
            [per_head(torch.zeros_like(a) if g is None else g) for g, a in zip(found, tensors, strict=True)]
        )
    return [torch.stack(gradients, dim=1) for gradients in zip(*per_target, strict=True)]


def per_head(x: Shaped[torch.Tensor, "*shape"]) -> Shaped[torch.Tensor, "batch head token _"]:
    """A single head gets its axis; half precision is widened."""
    return widened(x if x.ndim == 4 else x[:, None])
