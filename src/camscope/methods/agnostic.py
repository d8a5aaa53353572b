"""Maps that know no class: the principal component, the mean, and the baselines every method must beat."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace
from einops import rearrange, reduce
from jaxtyping import Float

from camscope.arrays import Array, from_numpy
from camscope.evidence import Evidence, Need
from camscope.methods.registry import method

_NEEDS = {Need.ACTIVATIONS}


@method(
    "eigencam",
    needs=_NEEDS,
    paper="Muhammad & Yeasin, IJCNN 2020, arXiv:2008.00299",
    advice="What dominates the layer, whatever the class; no gradient needed. Not evidence for a class.",
    class_specific=False,
    rectified=False,
)
def eigen_cam(evidence: Evidence) -> Float[Array, "batch 1 *space"]:
    """X v₁, the projection of X (positions × channels, not centred) on its first right singular vector.

    Found from the smaller Gram matrix, exact up to the sign, which the decomposition leaves open: it is
    fixed so that the map correlates with the mean activation.
    """
    A = evidence.activations
    xp = array_namespace(A)
    X = rearrange(A, "b c ... -> b (...) c")
    if X.shape[1] <= X.shape[2]:
        values, vectors = _largest_eigenpair(X @ xp.matrix_transpose(X))
        projection = xp.sqrt(values)[:, None] * vectors  # X v₁ = √λ₁ u₁
    else:
        _, vectors = _largest_eigenpair(xp.matrix_transpose(X) @ X)
        projection = (X @ vectors[..., None])[..., 0]
    centred = projection - _mean(projection)
    activity = reduce(X, "b n c -> b n", "mean")
    activity = activity - _mean(activity)
    agreement = reduce(centred * activity, "b n -> b 1", "sum")
    noise = 1e-5 * xp.sqrt(reduce(centred**2, "b n -> b 1", "sum") * reduce(activity**2, "b n -> b 1", "sum"))
    # an even mean activation says nothing; then the map is made positive on the whole
    agreement = xp.where(xp.abs(agreement) > noise, agreement, _mean(projection))
    signed = xp.where(agreement < 0, -projection, projection)
    return xp.reshape(signed, (A.shape[0], 1, *A.shape[2:]))


@method(
    "mean-activation",
    needs=_NEEDS,
    paper="LaFAM, Karjauv & Albayrak 2024, arXiv:2407.06059",
    advice="The mean over channels: a baseline. A class-specific method that does not beat it has found nothing.",
    class_specific=False,
    rectified=False,
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


def _mean(x: Float[Array, "batch n"]) -> Float[Array, "batch 1"]:
    return reduce(x, "b n -> b 1", "mean")


def _largest_eigenpair(
    gram: Float[Array, "batch n n"], rounds: int = 8, steps: int = 8
) -> tuple[Float[Array, batch], Float[Array, "batch n"]]:
    """The largest eigenvalue and its unit eigenvector of positive semi-definite matrices.

    Power iteration, some ten times cheaper than the full decomposition where one direction dominates, as it
    does for activations. Whatever has not converged to rounding goes to the full decomposition.
    """
    xp = array_namespace(gram)
    n = gram.shape[-1]
    start = from_numpy(np.random.default_rng(0).standard_normal((gram.shape[0], n, 1)), like=gram)
    tolerance = 4 * math.sqrt(n) * float(xp.finfo(gram.dtype).eps)
    tiny = float(xp.finfo(gram.dtype).smallest_normal)

    def unit(x: Float[Array, "batch n 1"]) -> Float[Array, "batch n 1"]:
        return x / xp.clip(xp.linalg.vector_norm(x, axis=1, keepdims=True), tiny, None)

    vectors = unit(start)
    for _ in range(rounds):
        for _ in range(steps):
            vectors = unit(gram @ vectors)
        image = gram @ vectors
        values = xp.sum(vectors * image, axis=1, keepdims=True)
        residual = xp.linalg.vector_norm(image - values * vectors, axis=1, keepdims=True)
        if bool(xp.all(residual <= tolerance * values)):
            return values[:, 0, 0], vectors[..., 0]
    eigenvalues, eigenvectors = xp.linalg.eigh(gram)
    return xp.clip(eigenvalues[:, -1], 0, None), eigenvectors[..., -1]
