"""Maps that do not depend on a class: channel statistics, and the baselines that every method must beat."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace
from einops import reduce
from jaxtyping import Float

from camscope.arrays import Array, from_numpy
from camscope.evidence import Evidence, Need
from camscope.methods.registry import method

_NEEDS = {Need.ACTIVATIONS}


@method(
    "fem",
    needs=_NEEDS,
    paper="Fuad et al., IPTA 2020",
    advice="Where features are rare: positions k standard deviations above their channel's mean, each channel counted "
    "by its mean. No gradient needed. Not evidence for a class.",
    class_specific=False,
    rectified=False,
    nonnegative=True,
)
def fem(evidence: Evidence, *, k: float = 2.0) -> Float[Array, "batch 1 *space"]:
    """Σ_k μ_k 1[A^k > μ_k + 2σ_k], μ_k and σ_k the mean and standard deviation of channel k over space."""
    A = evidence.activations
    xp = array_namespace(A)
    axes = tuple(range(2, A.ndim))
    mean = xp.mean(A, axis=axes, keepdims=True)
    # rounding may put the mean of a constant channel slightly below its value
    rounding = 8 * float(xp.finfo(A.dtype).eps) * xp.abs(mean)
    rare = A - mean > k * xp.std(A, axis=axes, keepdims=True) + rounding
    return reduce(mean * xp.astype(rare, A.dtype), "b c ... -> b 1 ...", "sum")


@method(
    "mean-activation",
    needs=_NEEDS,
    paper="LaFAM, Karjauv & Albayrak 2024, arXiv:2407.06059",
    advice="The mean over channels: a baseline. A class-specific method that does not beat it has found nothing.",
    class_specific=False,
    rectified=False,
    baseline=True,
)
def mean_activation(evidence: Evidence) -> Float[Array, "batch 1 *space"]:
    """mean_k A^k."""
    return reduce(evidence.activations, "b c ... -> b 1 ...", "mean")


@method(
    "random",
    needs=_NEEDS,
    advice="Uniform noise at the layer's resolution: the baseline for every metric. Seeded; image i of a batch "
    "gets the i-th draw.",
    class_specific=False,
    rectified=False,
    baseline=True,
)
def random(evidence: Evidence) -> Float[Array, "batch 1 *space"]:
    """U(0, 1) at every position."""
    A = evidence.activations
    noise = np.random.default_rng(evidence.seed).random((A.shape[0], 1, *A.shape[2:]))
    return from_numpy(noise, like=A)


@method(
    "centre",
    needs=_NEEDS,
    advice="A centred Gaussian, σ a quarter of each side: the baseline that photographers make strong.",
    class_specific=False,
    rectified=False,
    baseline=True,
)
def centre(evidence: Evidence) -> Float[Array, "batch 1 *space"]:
    """exp(−½ Σ_d (u_d / ¼)²), u_d ∈ [−½, ½] the position along axis d."""
    A = evidence.activations
    space = tuple(A.shape[2:])
    exponent = np.zeros(space)
    for axis, size in enumerate(space):
        u = (np.arange(size) + 0.5) / size - 0.5
        exponent = exponent + np.expand_dims(
            (u / 0.25) ** 2, tuple(a for a in range(len(space)) if a != axis)
        )
    return from_numpy(np.broadcast_to(np.exp(-exponent / 2), (A.shape[0], 1, *space)).copy(), like=A)
