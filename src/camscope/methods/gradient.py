"""The gradient family: maps from activations A and gradients g = ∂score/∂A.

Each function returns the signed sum; the final ReLU of the formulas is applied when a heatmap is made.
"""

from __future__ import annotations

import math
from typing import cast

from array_api_compat import array_namespace
from einops import reduce
from jaxtyping import Float

from camscope.arrays import Array, channel_sum, over_space, relu, resize, space_sum
from camscope.evidence import Directions, Evidence, Need
from camscope.methods.registry import BehindLinearHead, method
from camscope.methods.shared import shared

_NEEDS = {Need.ACTIVATIONS, Need.GRADIENTS}
_INSTEAD = {Need.ACTIVATIONS, Need.DIRECTIONS}


@method(
    "gradcam",
    needs=_NEEDS,
    instead=_INSTEAD,
    paper="Selvaraju et al., ICCV 2017, arXiv:1610.02391",
    advice="The default: robust at the last layer; smears at earlier layers, where one weight serves a whole channel.",
    behind_linear_head=BehindLinearHead("cam"),
    explains={"class"},
)
def grad_cam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k α_k A^k), α_k the mean gradient over space (eq. 1 and 2)."""
    return channel_sum(_mean_gradients(evidence), evidence.activations)


@method(
    "hirescam",
    needs=_NEEDS,
    instead=_INSTEAD,
    paper="Draelos & Carin 2020, arXiv:2011.08891",
    advice="Faithful: behind one linear layer the raw map plus the bias sums to the logit; sharper at earlier layers.",
    behind_linear_head=BehindLinearHead("cam"),
    explains={"instance"},
)
def hires_cam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """Σ_k g^k ⊙ A^k, element by element."""
    if directions := _directions(evidence):
        return directions.at_positions()
    return channel_sum(_gradients(evidence), evidence.activations)


@method(
    "layercam",
    needs=_NEEDS,
    paper="Jiang et al., IEEE TIP 30 (2021), doi:10.1109/TIP.2021.3089943",
    advice="Fine detail at early layers; drops negative weights, so it points at the wrong object more often "
    "(0.3–0.5 of its mass on the right photo of a 2×2 mosaic, where Grad-CAM has 0.7–0.95).",
    behind_linear_head=BehindLinearHead("layercam"),
)
def layer_cam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k relu(g^k) ⊙ A^k) (eq. 6 and 7)."""
    return channel_sum(_positive(evidence), evidence.activations)


@method(
    "gradcam++",
    needs=_NEEDS,
    paper="Chattopadhyay et al., WACV 2018, arXiv:1710.11063",
    advice="Covers several instances of a class; drops negative weights, so it points at the wrong object more often "
    "(0.3–0.5 of its mass on the right photo of a 2×2 mosaic). Depends on the score's scale, by its own formula.",
    nonnegative=True,
)
def grad_cam_plus_plus(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k w_k A^k), w_k = Σ_ij α_ij^k relu(g_ij^k), α = g²/(2g² + S_k g³) = 1/(2 + S_k g) (eq. 19 as printed)."""
    weighted, _ = _alpha_sums(evidence)
    return channel_sum(weighted, evidence.activations)


@method(
    "gradcam++-official",
    needs=_NEEDS,
    paper="Chattopadhyay et al., WACV 2018, the authors' code",
    advice="Grad-CAM++ as its authors' code computes it (α renormalised): close to averaging the positive gradients. "
    "Equals LayerCAM on a GAP + linear head.",
    nonnegative=True,
    behind_linear_head=BehindLinearHead("layercam"),
)
def grad_cam_plus_plus_official(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k w_k A^k), w_k the α-weighted mean of relu(g^k) over the positions where g^k > 0."""
    xp = array_namespace(evidence.activations)
    weighted, total = _alpha_sums(evidence)
    return channel_sum(weighted / xp.where(total == 0, xp.ones_like(total), total), evidence.activations)


@method(
    "xgradcam",
    needs=_NEEDS,
    instead=_INSTEAD,
    paper="Fu et al., BMVC 2020, arXiv:2008.02312",
    advice="Grad-CAM with gradients averaged where the channel is active; the same map on a GAP + linear head.",
    nonnegative=True,
    behind_linear_head=BehindLinearHead("cam"),
)
def xgrad_cam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k w_k A^k), w_k = Σ_ij (A_ij^k / S_k) g_ij^k, S_k = Σ_ij A_ij^k (eq. 8)."""
    xp = array_namespace(evidence.activations)
    total = reduce(evidence.activations, "b c ... -> b 1 c", "sum")
    # a channel whose values sum to zero has nothing to divide by; if A ≥ 0, that is a channel of zeros
    scale = reduce(xp.abs(evidence.activations), "b c ... -> b 1 c", "sum")
    live = xp.abs(total) > 1e-6 * scale
    share = xp.where(live, 1 / xp.where(live, total, xp.ones_like(total)), xp.zeros_like(total))
    return channel_sum(_along_activations(evidence) * share, evidence.activations)


@method(
    "gradcam-elementwise",
    needs=_NEEDS,
    paper="pytorch-grad-cam (no paper)",
    advice="Known from pytorch-grad-cam. Equals LayerCAM where the activations are not negative, as after a ReLU.",
    behind_linear_head=BehindLinearHead("layercam", of_nonnegative=True),
)
def grad_cam_elementwise(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """Σ_k relu(g^k ⊙ A^k)."""
    return reduce(relu(_gradients(evidence) * evidence.activations[:, None]), "b t c ... -> b t ...", "sum")


@method(
    "shapley",
    needs={*_NEEDS, Need.CURVATURE},
    paper="ShapleyCAM's weights: Cai, The Visual Computer 2025, arXiv:2501.06261",
    advice="Grad-CAM with a second-order term. The same map as Grad-CAM for a logit behind ReLU or linear layers; the "
    "term counts with GELU, attention, probabilities and the ReST target.",
    cost="1 forward + 2 short backwards per target (as gradcam for the logits of a GAP + linear head)",
    behind_linear_head=BehindLinearHead("cam", of_logits=True),
)
def shapley(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """ReLU(Σ_k w_k A^k), w_k the mean over space of g^k − ½ (H·A)^k, H the Hessian of the score by A."""
    assert evidence.curvature is not None
    weights = reduce(_gradients(evidence), "b t c ... -> b t c", "mean")
    correction = reduce(evidence.curvature, "b t c ... -> b t c", "mean")
    return channel_sum(weights - correction / 2, evidence.activations)


@method(
    "guided-gradcam",
    needs={*_NEEDS, Need.GUIDED_GRADIENTS},
    paper="Selvaraju et al., ICCV 2017, arXiv:1610.02391; Springenberg et al. 2015, arXiv:1412.6806",
    advice="Crisp edges under Grad-CAM's area. Fails randomisation tests (Adebayo et al. 2018): the edges stay when "
    "the weights are random, so they show the picture, not what the model uses. For pictures, not for proof.",
    cost="2 forwards + 1 short and 1 full backward per target",
    at_input_size=True,
    warning="guided-gradcam fails randomisation tests (Adebayo et al. 2018): its edges stay when the weights are "
    "random, so they show the picture and not what the model uses.",
)
def guided_grad_cam(evidence: Evidence) -> Float[Array, "batch target *size"]:
    """Σ_c guided_c ⊙ up(ReLU(Grad-CAM)), guided the input gradient with guided ReLUs, c the input's channels."""
    assert evidence.model is not None
    guided = cast(Array, evidence.model.guided_gradients)
    area = resize(relu(grad_cam(evidence)), guided.shape[3:])
    return reduce(guided, "b t c ... -> b t ...", "sum") * area


def channel_contributions(
    evidence: Evidence,
) -> tuple[Float[Array, "batch target channel"], Float[Array, "batch target channel"]]:
    """Each channel's weight (its mean gradient) and its contribution to the score, Σ_ij g_ij^k A_ij^k."""
    return _mean_gradients(evidence), _along_activations(evidence)


def _directions(evidence: Evidence) -> Directions | None:
    """What stands in for gradients where there are none."""
    return evidence.directions if evidence.gradients is None else None


def _mean_gradients(evidence: Evidence) -> Float[Array, "batch target channel"]:
    if directions := _directions(evidence):
        return directions.means()
    return reduce(_gradients(evidence), "b t c ... -> b t c", "mean")


def _along_activations(evidence: Evidence) -> Float[Array, "batch target channel"]:
    """Σ_ij A_ij^k g_ij^k."""
    if directions := _directions(evidence):
        return directions.along_activations()
    return space_sum(_gradients(evidence), evidence.activations)


def _gradients(evidence: Evidence) -> Float[Array, "batch target channel *grid"]:
    return cast(Array, evidence.gradients)


@shared
def _positive(evidence: Evidence) -> Float[Array, "batch target channel *grid"]:
    return relu(_gradients(evidence))


@shared
def _alpha_sums(
    evidence: Evidence,
) -> tuple[Float[Array, "batch target channel"], Float[Array, "batch target channel"]]:
    """Σ_ij α relu(g), and Σ_ij α where g > 0: both variants of Grad-CAM++ need these sums.

    α = 1/(2 + S_k g), which equals g²/(2g² + S_k g³) but does not underflow and needs no eps. If gradients are averaged
    over noisy copies (Smooth Grad-CAM++), the mean of g³ over the mean of g² stands for g.
    """
    A, positive = evidence.activations, _positive(evidence)
    xp = array_namespace(A)
    total = over_space(reduce(A, "b c ... -> b 1 c", "sum"), positive.ndim - 3)
    quotient = positive
    if evidence.gradient_powers is not None:
        second, third = evidence.gradient_powers
        quotient = third / xp.where(second > 0, second, xp.ones_like(second))
    denominator = quotient * total + 2
    if bool(xp.any(total < 0)) or evidence.gradient_powers is not None:
        # with signed activations the denominator can cross zero; there the formula has no meaning, and α is set to 0
        denominator = xp.where(xp.abs(denominator) > 1e-3, denominator, xp.inf)
    alpha = 1 / denominator
    # sums are taken as means times the number of positions: gradients that are constant have size 1 along space
    positions = math.prod(A.shape[2:])
    counted = xp.where(positive > 0, alpha, xp.zeros_like(alpha))
    return (
        reduce(positive * alpha, "b t c ... -> b t c", "mean") * positions,
        reduce(counted, "b t c ... -> b t c", "mean") * positions,
    )
