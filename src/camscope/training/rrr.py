"""Right for the right reasons: a penalty on input gradients where the input should not matter."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace
from jaxtyping import Float, Shaped

from camscope.arrays import Array
from camscope.errors import InputError
from camscope.outputs import Outputs
from camscope.training.map_losses import inside


def rrr_loss(
    logits: Float[Array, "batch class"],
    x: Float[Array, "batch channel *size"],
    masks: Shaped[Array, "batch ..."],
    *,
    multilabel: bool = False,
) -> Float[Array, ""]:
    """Mean over images of Σ_d (A_d · ∂/∂x_d Σ_k log p_k)², A = 1 − mask.

    The second term of eq. 1 of Ross, Hughes & Doshi-Velez, "Right for the Right Reasons", IJCAI 2017
    (arXiv:1703.03717), divided by the number of images as the mean cross-entropy is, so that λ₁ means the same. Of
    independent labels it is Σ_k (log p_k + log(1 − p_k)), a sum over both classes of each.

        x.requires_grad_()
        logits = model(x)
        loss = cross_entropy(logits, y) + 0.01 * rrr_loss(logits, x, masks)

    It takes a second backward through the whole model: about three times the time of a step.

    Measured (`benchmarks/shortcut.py`, λ₁ = 0.01, one seed): it leaves the shortcut where it is, with 0.38 of the map's
    mass in the mark and no 3 recognised without it. Where the model is sure of a class its gradient is small, whatever
    it was sure by. `outside_loss` removed it.

    Args:
        logits: of a forward of x.
        x: the inputs, which required gradients in that forward.
        masks: where the model may look, at the input's resolution: `batch *size`, or `batch channel *size`.
        multilabel: whether each class is a question of its own (a sigmoid each).

    Raises:
        InputError: if x is on no graph with the logits, or the masks do not fit.
    """
    import torch

    if not x.requires_grad or not logits.requires_grad:
        raise InputError(
            "The logits cannot be differentiated by x: call x.requires_grad_() before the forward, with gradients on."
        )
    outputs = Outputs(_single(logits), "multilabel" if multilabel else "multiclass")
    logs: Any = outputs.log_probabilities
    if multilabel:
        logs = logs + Outputs(-outputs.logits, "multilabel").log_probabilities
    (gradient,) = torch.autograd.grad(logs.sum(), x, create_graph=True, allow_unused=True)
    if gradient is None:
        raise InputError(
            "The logits do not depend on this x: give the very tensor that the model was called with."
        )
    xp = array_namespace(x)
    return xp.sum((gradient * (1 - inside(masks, gradient))) ** 2) / x.shape[0]


def _single(logits: Array) -> Array:
    xp = array_namespace(logits)
    return xp.astype(logits, xp.float32) if logits.dtype in (xp.float16, xp.bfloat16) else logits
