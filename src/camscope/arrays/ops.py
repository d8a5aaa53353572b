"""The few array operations that all the maths shares, on any library that follows the array API.

`xp` is the array's own namespace, found by type (array-api-compat), so torch tensors stay torch tensors on
their device, and NumPy and JAX arrays stay what they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from einops import einsum, reduce
from jaxtyping import Float, Int, Shaped

from camscope.arrays.one_thread import product_on_one_thread

Array: TypeAlias = Any
"""An array of any library that follows the array API."""


def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(x, 0)."""
    return array_namespace(x).clip(x, 0, None)


_noted: ContextVar[list[tuple[Array, Array]] | None] = ContextVar("_noted", default=None)


@contextmanager
def noting_channel_sums() -> Iterator[list[tuple[Array, Array]]]:
    """Within this context the weights and activations of every `channel_sum` are noted, in order."""
    noted: list[tuple[Array, Array]] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


Product: TypeAlias = Callable[
    [Float[np.ndarray, "row inner"], Float[np.ndarray, "inner column"]], Float[np.ndarray, "row column"]
]

_SMALL = 2**24
"""Products of up to so many multiplications are made at once by the thread that asks: see `product_on_one_thread`."""

_multiplied_by: ContextVar[Product] = ContextVar("_multiplied_by", default=np.matmul)


@contextmanager
def multiplying_by(product: Product) -> Iterator[None]:
    """Within this context large products of matrices in `channel_sum` of NumPy arrays are made by this function."""
    token = _multiplied_by.set(product)
    try:
        yield
    finally:
        _multiplied_by.reset(token)


def channel_sum(
    weights: Float[Array, "batch target channel *grid"], activations: Float[Array, "batch channel *space"]
) -> Float[Array, "batch target *space"]:
    """Σ_k w^k ⊙ A^k. Weights that are the same at every position may have size 1 along space, which is cheaper."""
    if (noted := _noted.get()) is not None:
        noted.append((weights, activations))
    if _constant_over_space(weights):
        per_channel = weights[(..., *_first(weights, 3))]
        if isinstance(activations, np.ndarray):  # whose einsum does without the fast product of matrices
            if per_channel.strides[0] == 0:
                # the same weights for every image: one product, which is faster than many
                columns = np.moveaxis(activations, 1, 0).reshape(activations.shape[1], -1)
                sums = _multiplied(per_channel[0], columns)
                return np.moveaxis(sums.reshape(-1, len(activations), *activations.shape[2:]), 1, 0)
            flat = activations.reshape(*activations.shape[:2], -1)
            each = [_multiplied(w, A) for w, A in zip(per_channel, flat, strict=True)]
            return np.stack(each).reshape(*per_channel.shape[:2], *activations.shape[2:])
        return einsum(per_channel, activations, "b t c, b c ... -> b t ...")
    return reduce(weights * activations[:, None], "b t c ... -> b t ...", "sum")


def _multiplied(
    a: Float[np.ndarray, "row inner"], b: Float[np.ndarray, "inner column"]
) -> Float[np.ndarray, "row column"]:
    small = a.shape[0] * b.shape[0] * b.shape[1] <= _SMALL
    return product_on_one_thread(a, b) if small else _multiplied_by.get()(a, b)


def space_sum(
    weights: Float[Array, "batch target channel *grid"], activations: Float[Array, "batch channel *space"]
) -> Float[Array, "batch target channel"]:
    """Σ_ij w_ij^k A_ij^k, for weights that may have size 1 along space."""
    if _constant_over_space(weights):
        return weights[(..., *_first(weights, 3))] * reduce(activations, "b c ... -> b 1 c", "sum")
    return reduce(weights * activations[:, None], "b t c ... -> b t c", "sum")


def product(
    a: Float[Array, "... row inner"], b: Float[Array, "inner column"]
) -> Float[Array, "... row column"]:
    """The matrix product in the precision of both, also under an autocast of PyTorch's, which would halve it."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(a, torch.Tensor):
        return a @ b
    with torch.autocast(a.device.type, enabled=False):
        return a @ b


def over_space(per_channel: Float[Array, "*leading"], ndim: int) -> Float[Array, "*leading *ones"]:
    """Append `ndim` axes of size 1, so that a value per channel broadcasts over space."""
    return per_channel[(..., *(None,) * ndim)]


def from_numpy(
    values: Shaped[np.ndarray, "*shape"], like: Shaped[Array, "*other"]
) -> Shaped[Array, "*shape"]:
    """NumPy values as an array of `like`'s library, dtype and device."""
    return array_namespace(like).asarray(values, dtype=like.dtype, device=device(like))


def from_indices(values: Int[np.ndarray, "*shape"], like: Shaped[Array, "*other"]) -> Int[Array, "*shape"]:
    """Whole numbers as an array of `like`'s library and device."""
    return array_namespace(like).asarray(values, device=device(like))


def _constant_over_space(weights: Float[Array, "batch target channel *grid"]) -> bool:
    return all(size == 1 for size in weights.shape[3:])


def _first(x: Float[Array, " ..."], leading: int) -> tuple[int, ...]:
    return (0,) * (len(x.shape) - leading)
