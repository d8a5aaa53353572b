"""The Hessian of a score by a layer's activations, times these activations, by a second backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Shaped
from torch.nn.attention import SDPBackend, sdpa_kernel

from camscope.errors import ModelError, first_line
from camscope.models.torch.hooks.grafting import Source, gradients_by


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Run the model's forward in this where its curvature is wanted: fused attention has no second derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


def curvature(
    score: Float[torch.Tensor, " batch"],
    layers: Sequence[Shaped[torch.Tensor, " ..."]],
    sources: Sequence[Source] | None = None,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """∂score/∂A and H·A of each layer, H the Hessian of the score by that layer alone (Pearlmutter 1994).

    Only the part of the model after the layers is gone through: once for all gradients, then once per layer. H·A
    is zero where that part is piecewise linear and so is the score. The graph stays alive for the next target.

    Args:
        score: of one target, on a graph that reaches the layers.
        layers: each layer's output A, `batch …` in the layer's own layout.
        sources: by what to differentiate for ∂score/∂A, of the same layers; by default by A itself.

    Returns:
        gradients: ∂score/∂A of each layer.
        products: H·A of each layer.

    Raises:
        ModelError: if an operation after a layer cannot be differentiated twice.
    """
    if not score.requires_grad:
        zeros = [torch.zeros_like(A) for A in layers]
        return zeros, list(zeros)
    sources = layers if sources is None else sources
    with torch.enable_grad():
        gradients = gradients_by(score.sum(), layers, sources, create_graph=True)
    products = []
    for gradient, A, source in zip(gradients, layers, sources, strict=True):
        if not gradient.requires_grad:  # linear from here on
            products.append(torch.zeros_like(A))
            continue
        try:
            (product,) = gradients_by(gradient, [A], [source], A.detach())
        except RuntimeError as error:
            if "not implemented" not in str(error) and "once_differentiable" not in str(error):
                raise
            raise ModelError(
                "The model has an operation that cannot be differentiated twice, which 'shapley' needs; 'gradcam' "
                f"takes the first derivative alone. PyTorch said: {first_line(error)}"
            ) from error
        products.append(product)
    return [gradient.detach() for gradient in gradients], products
