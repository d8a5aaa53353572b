"""Group-CAM: Grad-CAM's channels in groups, each weighted by what it adds to the blurred input."""

from __future__ import annotations

from typing import Annotated, cast

import numpy as np
from array_api_compat import array_namespace, device
from einops import einsum, rearrange, reduce
from jaxtyping import Float, Int

from camscope.arrays import Array, blurred, from_numpy, relu, to_numpy
from camscope.evidence import Evidence, ModelEvidence, Need, Rerun
from camscope.methods.channels import pick
from camscope.methods.masks import normalised, quantile
from camscope.methods.parameters import Count, Range, Share
from camscope.methods.registry import method


@method(
    "groupcam",
    needs={Need.ACTIVATIONS, Need.GRADIENTS, Need.MASKED},
    paper="Zhang et al. 2021, arXiv:2103.13859",
    advice="A cheap step from Grad-CAM towards Score-CAM: some thirty forwards per target. Groups are neighbours in "
    "number, not in meaning.",
    cost="1 forward + per target 1 short backward and 1 masked forward per group that is active",
)
def group_cam(
    evidence: Evidence,
    *,
    groups: Count = 32,
    radius: Count = 25,
    sigma: Annotated[float, Range(1e-3)] = 50.0,
    drop: Share = 0.0,
) -> Float[Array, "batch target *space"]:
    """Σ_g s_g R_g, R_g = relu(Σ_{k∈g} α_k A^k), s_g = relu(p_c(x ⊙ H_g + blur(x) ⊙ (1 − H_g)) − p_c(blur(x))).

    H_g = mm(up(R_g)), α_k the mean gradient; each group g is a run of neighbouring channels.

    Args:
        evidence: the evidence at the layer.
        groups: how many groups; fewer if the channels do not fill them.
        radius: the Gaussian's radius in input pixels; it has 2 · radius + 1 taps along each axis (51 by default).
        sigma: the Gaussian's standard deviation, in input pixels.
        drop: the share of the values of each R_g, the lowest, that is set to zero (0.7 in the paper).
    """
    model, rerun = (
        cast(ModelEvidence, evidence.model),
        cast(Rerun, cast(ModelEvidence, evidence.model).masked),
    )
    regions = _regions(evidence, groups, drop)
    xp = array_namespace(regions)
    batch, targets, count, *space = regions.shape
    maps = []
    for image in range(batch):
        flat = rearrange(regions[image], "t g ... -> (t g) ...")
        axes = tuple(range(1, flat.ndim))
        active = np.flatnonzero(to_numpy(~(xp.max(flat, axis=axes) == xp.min(flat, axis=axes))))
        if not active.size:
            maps.append(xp.zeros((targets, *space), dtype=flat.dtype, device=device(flat)))
            continue
        found = pick(flat, active)
        # a mask that is zero everywhere makes the last variant the blurred input
        shown = xp.concat([found, xp.zeros_like(found[:1])])
        x = model.inputs[image]
        soft = blurred(model.inputs[image : image + 1], sigma, radius)[0]

        def variants(
            numbers: Int[np.ndarray, " chunk"], shown: Array = shown, x: Array = x, soft: Array = soft
        ) -> Float[Array, "chunk channel *size"]:
            mask = normalised(pick(shown, numbers), x.shape[1:])[:, None]
            return x * mask + soft * (1 - mask)

        p = xp.astype(rerun(image, active.size + 1, variants).probabilities, flat.dtype)
        own = from_numpy((active[:, None] // count == np.arange(targets)).astype(np.float64), like=flat)
        gains = relu(p[:-1] - p[-1:]) * own  # a region counts only for the target that it was made for
        maps.append(einsum(gains, found, "n t, n ... -> t ..."))
    return xp.stack(maps)


def _regions(evidence: Evidence, groups: int, drop: float) -> Float[Array, "batch target group *space"]:
    """R_g: each group's part of Grad-CAM's sum, rectified."""
    A = evidence.activations
    xp = array_namespace(A)
    weights = reduce(cast(Array, evidence.gradients), "b t c ... -> b t c", "mean")
    size = -(-A.shape[1] // groups)
    missing = -A.shape[1] % size
    if missing:
        nothing = xp.zeros_like(A[:, :1])
        A = xp.concat([A, *[nothing] * missing], axis=1)
        weights = xp.concat([weights, *[xp.zeros_like(weights[..., :1])] * missing], axis=2)
    weights = rearrange(weights, "b t (g k) -> b t g k", k=size)
    grouped = rearrange(A, "b (g k) ... -> b g k ...", k=size)
    regions = relu(einsum(weights, grouped, "b t g k, b g k ... -> b t g ..."))
    if drop:
        flat = rearrange(regions, "b t g ... -> (b t g) (...)")
        flat = xp.where(flat > quantile(flat, drop), flat, xp.zeros_like(flat))
        regions = xp.reshape(flat, regions.shape)
    return regions
