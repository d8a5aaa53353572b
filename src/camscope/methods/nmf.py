"""Deep feature factorisation: a layer's activations on a batch as a sum of a few concepts.

Collins, Achanta & Süsstrunk, ECCV 2018, arXiv:1806.10206.
"""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace
from einops import rearrange, reduce
from jaxtyping import Float

from camscope.arrays import Array, from_numpy, relu
from camscope.errors import MethodError, keyword

_INNER = 4
_CHECK_EVERY = 10
_SMALLEST_CHANGE = 1e-5


def factorise(
    activations: Float[Array, "batch channel *space"],
    concepts: int,
    *,
    steps: int = 500,
    starts: int = 2,
    seed: int = 0,
) -> tuple[Float[Array, "batch concept *space"], Float[Array, "concept channel"]]:
    """A ≈ Σ_k heatmap_k ⊗ vector_k, all ≥ 0 (NMF), shared by all images of the batch.

    The updates are multiplicative (Lee & Seung 2001). Products with A are what costs, so each serves several updates
    (Gillis & Glineur 2012). They start from the singular vectors (Boutsidis & Gallopoulos 2008) and from random
    factors, and the best result is kept. No practical method is known to find the best factors of all, so other starts
    may give other concepts.

    Args:
        activations: of one layer; negative ones are taken as zero.
        concepts: how many to look for.
        steps: how many steps at most; it ends earlier when the error has stopped falling.
        starts: how many starts. The first is from the singular vectors, the others are random.
        seed: of the random starts.

    Returns:
        heatmaps: how strongly each position shows each concept, strongest concept first.
        vectors: each concept's features, of length 1.

    Raises:
        MethodError: if there are no positive activations, or fewer positions or channels than concepts.
    """
    xp = array_namespace(activations)
    batch, channels, *space = activations.shape
    X = rearrange(relu(activations), "b c ... -> (b ...) c")
    if not 1 <= concepts <= min(X.shape):
        raise MethodError(
            f"{keyword('count', concepts)}: expected 1 to {min(X.shape)}, for the layer has {channels} channels and "
            f"the batch {X.shape[0]} positions."
        )
    largest = float(xp.max(X))
    if not 0 < largest < math.inf:
        what = "holds NaN or infinity" if largest != 0 else "has no positive activation on this batch"
        raise MethodError(
            f"The layer {what}, so there is nothing to factorise. Choose the layer after a ReLU."
        )
    X = X / largest
    rng = np.random.default_rng(seed)
    first = _singular_start(X, concepts, rng)
    others = [_random_start(X, concepts, rng) for _ in range(starts - 1)]
    H, W, _ = min((_descend(X, H, W, steps) for H, W in (first, *others)), key=lambda found: found[2])
    length = xp.linalg.vector_norm(W, axis=1)
    H = H * (length * largest)
    W = W / xp.clip(length, _tiny(X), None)[:, None]
    order = xp.argsort(xp.linalg.vector_norm(H, axis=0), descending=True)
    H, W = xp.take(H, order, axis=1), xp.take(W, order, axis=0)
    return xp.reshape(xp.moveaxis(xp.reshape(H, (batch, -1, concepts)), 2, 1), (batch, concepts, *space)), W


def _descend(
    features: Float[Array, "n channel"],
    heat: Float[Array, "n concept"],
    vectors: Float[Array, "concept channel"],
    steps: int,
) -> tuple[Float[Array, "n concept"], Float[Array, "concept channel"], float]:
    """Lower the error ‖features − heat · vectors‖ until it stops falling.

    Returns the factors, and the error relative to ‖features‖.
    """
    xp = array_namespace(features)
    tiny = _tiny(features)
    size = float(xp.sum(features**2))
    error = math.inf
    for step in range(1, steps + 1):
        target, gram = features @ vectors.T, vectors @ vectors.T
        for _ in range(_INNER):
            heat = heat * (target / (heat @ gram + tiny))
        target, gram = heat.T @ features, heat.T @ heat
        for _ in range(_INNER):
            vectors = vectors * (target / (gram @ vectors + tiny))
        if step % _CHECK_EVERY == 0 or step == steps:
            squared = size - 2 * float(xp.sum(target * vectors)) + float(xp.sum((gram @ vectors) * vectors))
            last, error = error, math.sqrt(max(squared, 0) / size)
            if last - error <= _SMALLEST_CHANGE * error:
                break
    return heat, vectors, error


def _singular_start(
    features: Float[Array, "n channel"], concepts: int, rng: np.random.Generator
) -> tuple[Float[Array, "n concept"], Float[Array, "concept channel"]]:
    """NNDSVDa: the larger of each singular pair's positive and negative part, with the mean in place of zeros."""
    xp = array_namespace(features)
    tiny = _tiny(features)
    # subspace iteration finds the first right singular vectors; a few more than wanted make it converge faster
    basis = from_numpy(
        rng.standard_normal((features.shape[1], min(concepts + 8, *features.shape))), like=features
    )
    for _ in range(6):
        basis = xp.linalg.qr(features.T @ (features @ basis))[0]
    left, values, turn = xp.linalg.svd(features @ basis, full_matrices=False)
    right = turn @ basis.T
    columns, rows = [], []
    for k in range(concepts):
        u, v = left[:, k], right[k, :]
        halves = [(relu(sign * u), relu(sign * v)) for sign in (1, -1)]
        lengths = [(xp.linalg.vector_norm(a), xp.linalg.vector_norm(b)) for a, b in halves]
        larger = max((0, 1), key=lambda half: float(lengths[half][0] * lengths[half][1]))
        (a, b), (size_a, size_b) = halves[larger], lengths[larger]
        scale = xp.sqrt(values[k] * size_a * size_b)
        columns.append(a * (scale / (size_a + tiny)))
        rows.append(b * (scale / (size_b + tiny)))
    mean = xp.mean(features)
    heat, vectors = xp.stack(columns, axis=1), xp.stack(rows, axis=0)
    return xp.where(heat > 0, heat, mean), xp.where(vectors > 0, vectors, mean)


def _random_start(
    features: Float[Array, "n channel"], concepts: int, rng: np.random.Generator
) -> tuple[Float[Array, "n concept"], Float[Array, "concept channel"]]:
    """Positive noise, scaled so that the product of the factors is about as large as the features."""
    size = math.sqrt(float(reduce(features, "n c -> ", "mean")) / concepts)
    n, channels = features.shape
    heat = np.abs(rng.standard_normal((n, concepts)))
    vectors = np.abs(rng.standard_normal((concepts, channels)))
    return from_numpy(size * heat, like=features), from_numpy(size * vectors, like=features)


def _tiny(x: Float[Array, "*shape"]) -> float:
    return float(array_namespace(x).finfo(x.dtype).smallest_normal)
