"""Maps that are a principal component: the projection on the direction in which the feature vectors are largest.

A decomposition leaves the sign of a component open. Here it is chosen so that the map correlates with the mean channel.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from array_api_compat import array_namespace
from einops import rearrange, reduce
from jaxtyping import Float

from camscope.arrays import Array, from_numpy
from camscope.evidence import Evidence, Need
from camscope.methods.registry import method


@method(
    "eigencam",
    needs={Need.ACTIVATIONS},
    paper="Muhammad & Yeasin, IJCNN 2020, arXiv:2008.00299",
    advice="What dominates the layer, whatever the class; no gradient needed. Not evidence for a class.",
    class_specific=False,
    rectified=False,
    explains={"class", "instance"},
)
def eigen_cam(evidence: Evidence) -> Float[Array, "batch 1 *space"]:
    """X v₁, the projection of X (positions × channels, not centred) on its first right singular vector."""
    A = evidence.activations
    xp = array_namespace(A)
    projection = first_component(rearrange(A, "b c ... -> b (...) c"))
    return xp.reshape(projection, (A.shape[0], 1, *A.shape[2:]))


@method(
    "eigengradcam",
    needs={Need.ACTIVATIONS, Need.GRADIENTS},
    paper="pytorch-grad-cam (no paper)",
    advice="Eigen-CAM of gradient ⊙ activation: HiResCAM with what its channels do not share left out. The strongest "
    "direction may be evidence against the class; hirescam keeps the sum.",
)
def eigen_grad_cam(evidence: Evidence) -> Float[Array, "batch target *space"]:
    """X v₁, X = g ⊙ A (positions × channels, not centred), v₁ its first right singular vector."""
    A, gradients = evidence.activations, evidence.gradients
    assert gradients is not None
    projection = first_component(rearrange(gradients * A[:, None], "b t c ... -> (b t) (...) c"))
    return array_namespace(A).reshape(projection, (*gradients.shape[:2], *A.shape[2:]))


@method(
    "kpcacam",
    needs={Need.ACTIVATIONS},
    paper="Karmani et al. 2024, arXiv:2410.00267",
    advice="Eigen-CAM on a kernel. Its maps hang on the kernel's γ, which the paper leaves open; time and memory grow "
    "with the square of the number of positions. Not evidence for a class.",
    class_specific=False,
    rectified=False,
)
def kpca_cam(
    evidence: Evidence, *, kernel: Literal["sigmoid", "rbf"] = "sigmoid", gamma: float | None = None
) -> Float[Array, "batch 1 *space"]:
    """√λ₁ u₁ of the centred kernel matrix tanh(γ x·y + 1) or exp(−γ|x − y|²) of the centred positions' features.

    Args:
        evidence: the evidence at the layer.
        kernel: `sigmoid` or `rbf`, the first and the second of these.
        gamma: γ; by default 1/channels, as in scikit-learn.
    """
    A = evidence.activations
    xp = array_namespace(A)
    X = rearrange(A, "b c ... -> b (...) c")
    centred = X - reduce(X, "b n c -> b 1 c", "mean")
    gamma = 1 / A.shape[1] if gamma is None else gamma
    # one image at a time, since a kernel matrix takes positions × positions of memory
    components = [_first_kernel_component(centred[i : i + 1], kernel, gamma) for i in range(A.shape[0])]
    projection = _signed(xp.concat(components, axis=0), X)
    return xp.reshape(projection, (A.shape[0], 1, *A.shape[2:]))


def first_component(features: Float[Array, "batch n c"]) -> Float[Array, "batch n"]:
    """X v₁ with its sign fixed, computed from XXᵀ or XᵀX, whichever is smaller.

    Args:
        features: X of each image, positions × channels. The sign makes X v₁ correlate with the mean over channels.
    """
    xp = array_namespace(features)
    if features.shape[1] <= features.shape[2]:
        values, vectors = _largest_eigenpair(features @ xp.matrix_transpose(features))
        return _signed(xp.sqrt(values)[:, None] * vectors, features)  # X v₁ = √λ₁ u₁
    _, vectors = _largest_eigenpair(xp.matrix_transpose(features) @ features)
    return _signed((features @ vectors[..., None])[..., 0], features)


def _first_kernel_component(
    features: Float[Array, "batch n c"], kernel: Literal["sigmoid", "rbf"], gamma: float
) -> Float[Array, "batch n"]:
    """√λ₁ u₁ of the kernel matrix of the features, centred in the kernel's feature space."""
    xp = array_namespace(features)
    gram = features @ xp.matrix_transpose(features)
    if kernel == "sigmoid":
        K = xp.tanh(gamma * gram + 1)
    else:
        squares = reduce(features**2, "b n c -> b n", "sum")
        K = xp.exp(-gamma * xp.clip(squares[:, :, None] + squares[:, None, :] - 2 * gram, 0, None))
    rows = reduce(K, "b m n -> b m 1", "mean")
    K = K - rows - xp.matrix_transpose(rows) + reduce(rows, "b m 1 -> b 1 1", "mean")
    values, vectors = _largest_eigenpair(K)
    return xp.sqrt(values)[:, None] * vectors


def _signed(
    projection: Float[Array, "batch n"], features: Float[Array, "batch n c"]
) -> Float[Array, "batch n"]:
    """The projection, or its negative, whichever correlates with the mean over channels."""
    xp = array_namespace(features)
    centred = projection - _mean(projection)
    mean = reduce(features, "b n c -> b n", "mean")
    activity = mean - _mean(mean)
    agreement = reduce(centred * activity, "b n -> b 1", "sum")
    rounding = 16 * xp.finfo(features.dtype).eps
    noise = 1e-5 * _length(centred) * _length(activity)
    size = reduce(
        xp.abs(features), "b n c -> b n", "mean"
    )  # behind a layer norm, the terms of a mean of zero
    noise = noise + rounding * (_length(centred) * _length(size) + _length(projection) * _length(activity))
    # a constant mean activation cannot decide; then the map's mean is made positive
    agreement = xp.where(xp.abs(agreement) > noise, agreement, _mean(projection))
    return xp.where(agreement < 0, -projection, projection)


def _mean(x: Float[Array, "batch n"]) -> Float[Array, "batch 1"]:
    return reduce(x, "b n -> b 1", "mean")


def _length(x: Float[Array, "batch n"]) -> Float[Array, "batch 1"]:
    return array_namespace(x).sqrt(reduce(x**2, "b n -> b 1", "sum"))


def _largest_eigenpair(
    gram: Float[Array, "batch n n"], rounds: int = 8, steps: int = 8
) -> tuple[Float[Array, " batch"], Float[Array, "batch n"]]:
    """The largest eigenvalue and its unit eigenvector of positive semi-definite matrices.

    Power iteration is some ten times cheaper than the full decomposition where one direction dominates, as it does
    for activations. If it does not converge up to rounding, the full decomposition is done.
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
