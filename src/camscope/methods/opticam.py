"""Opti-CAM: the channel weights whose mask keeps the score highest, found by gradient ascent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast

import numpy as np
from array_api_compat import array_namespace
from einops import einsum, reduce
from jaxtyping import Float

from camscope.arrays import Array, from_numpy, relu, resize
from camscope.evidence import Evidence, GradientRerun, ModelEvidence, Need
from camscope.methods.masks import unit, upsampled
from camscope.methods.parameters import Count, Range
from camscope.methods.registry import method


@method(
    "opticam",
    needs={Need.ACTIVATIONS, Need.MASKED_GRADIENTS},
    paper="Zhang et al., CVIU 2024, arXiv:2301.07002",
    advice="It optimises what Average Gain measures, so that metric says nothing of it; weak at localisation, by its "
    "authors' own account.",
    cost="1 forward + per target `steps` (50) masked forwards and full backwards",
    rectified=False,
)
def opti_cam(
    evidence: Evidence, *, steps: Count = 50, rate: Annotated[float, Range(1e-6)] = 0.1
) -> Float[Array, "batch target *space"]:
    """Σ_k softmax(u)_k relu(A^k), u maximising y_c(x ⊙ mm(up(Σ_k softmax(u)_k relu(A^k)))) by Adam from u = ½.

    Each image stops at the first of ten checkpoints at which its score is lower than at the one before, and keeps the
    best u it met (the authors stop the batch as a whole, and keep the last u). The mask is multiplied with the model's
    input as it is, preprocessed.

    Args:
        evidence: the evidence at the layer.
        steps: how many times each target's score is evaluated at most.
        rate: Adam's learning rate.
    """
    A = relu(evidence.activations)
    model = cast(ModelEvidence, evidence.model)
    targets = model.responses.scores.shape[1]
    xp = array_namespace(A)
    return xp.stack([_optimised(A, model, target, steps, rate) for target in range(targets)], axis=1)


def _optimised(
    maps: Float[Array, "batch channel *space"], model: ModelEvidence, target: int, steps: int, rate: float
) -> Float[Array, " batch *space"]:
    """The combination of channels with the highest score for one target."""
    xp = array_namespace(maps)
    u = xp.ones_like(maps[(..., *(0,) * (maps.ndim - 2))]) / 2
    mean, square, best = xp.zeros_like(u), xp.zeros_like(u), u
    highest = xp.full_like(u[:, 0], -xp.inf)
    checked = highest
    running = xp.ones_like(highest) > 0
    for step in range(steps):
        score, slope = objective(maps, u, model, target)
        better = score > highest
        best, highest = xp.where(better[:, None], u, best), xp.where(better, score, highest)
        if step % max(1, steps // 10) == 0:
            running = running & (score >= checked)
            checked = score
            if not bool(xp.any(running)):
                break
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope**2
        ahead = mean / (1 - 0.9 ** (step + 1))
        width = xp.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8
        u = xp.where(running[:, None], u + rate * ahead / width, u)
    # a score that was NaN in every step has no best u, so the map is NaN too
    best = xp.where(xp.isfinite(highest)[:, None], best, xp.nan)
    return einsum(_softmax(best), maps, "b c, b c ... -> b ...")


def objective(
    maps: Float[Array, "batch channel *space"],
    u: Float[Array, "batch channel"],
    model: ModelEvidence,
    target: int,
) -> tuple[Float[Array, " batch"], Float[Array, "batch channel"]]:
    """y_c(x ⊙ mm(up(Σ_k softmax(u)_k A^k))) of each image, and its gradient by u.

    The model gives the gradient by its input; the rest is the chain rule through mm, up and the softmax.

    Args:
        maps: A, the channels of each image, none negative.
        u: the weights of the channels before the softmax.
        model: the evidence of the model, with its inputs and `masked_gradients`.
        target: the number of the target whose score it is.
    """
    xp = array_namespace(maps)
    x = model.inputs
    shares = _softmax(u)
    up = upsampled(einsum(shares, maps, "b c, b c ... -> b ..."), x.shape[2:])
    mask = unit(up)
    score, by_input = cast(GradientRerun, model.masked_gradients)(mask[:, None] * x, target)
    by_mask = xp.astype(reduce(by_input * x, "b c ... -> b ...", "sum"), maps.dtype)
    by_map = _adjoint(_through_unit(up, mask, by_mask), maps.shape[2:])
    by_share = reduce(by_map[:, None] * maps, "b c ... -> b c", "sum")
    return xp.astype(score, maps.dtype), shares * (
        by_share - xp.sum(shares * by_share, axis=1, keepdims=True)
    )


def _softmax(u: Float[Array, "batch channel"]) -> Float[Array, "batch channel"]:
    xp = array_namespace(u)
    powers = xp.exp(u - xp.max(u, axis=1, keepdims=True))
    return powers / xp.sum(powers, axis=1, keepdims=True)


def _through_unit(
    maps: Float[Array, " batch *size"],
    mask: Float[Array, " batch *size"],
    by_mask: Float[Array, " batch *size"],
) -> Float[Array, " batch *size"]:
    """The gradient by `maps`, from the gradient by mask = (maps − low) / (high − low).

    Where several positions share the lowest or highest value, they share its gradient evenly.
    """
    xp = array_namespace(maps)
    axes = tuple(range(1, maps.ndim))
    low, high = xp.min(maps, axis=axes, keepdims=True), xp.max(maps, axis=axes, keepdims=True)
    lowest, tallest = xp.astype(maps == low, maps.dtype), xp.astype(maps == high, maps.dtype)
    by_low = xp.sum(by_mask * (mask - 1), axis=axes, keepdims=True) / xp.sum(lowest, axis=axes, keepdims=True)
    by_high = -xp.sum(by_mask * mask, axis=axes, keepdims=True) / xp.sum(tallest, axis=axes, keepdims=True)
    extent = high - low
    slope = (by_mask + by_low * lowest + by_high * tallest) / xp.where(
        extent == 0, xp.ones_like(extent), extent
    )
    return xp.where(extent == 0, xp.zeros_like(slope), slope)


def _adjoint(gradient: Float[Array, " batch *size"], space: Sequence[int]) -> Float[Array, " batch *space"]:
    """The transpose of resizing from `space`: it hands each pixel's gradient back to the cells the pixel came from."""
    xp = array_namespace(gradient)
    for axis, n in enumerate(space, start=1):
        weights = resize(from_numpy(np.eye(n)[None], like=gradient), (gradient.shape[axis],))[
            0
        ]  # cell, pixel
        back = xp.moveaxis(gradient, axis, -1) @ xp.matrix_transpose(weights)
        gradient = xp.moveaxis(back, -1, axis)
    return gradient
