"""Averaging evidence over many copies of the input: noisy ones, or ones of several sizes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from einops import reduce
from jaxtyping import Bool, Float

from camscope.arrays import Array, from_numpy, resize
from camscope.evidence import Evidence, FullGradients, ModelEvidence


class NoisyGradients:
    """Running means of the powers of gradients over noisy copies of the input."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: list[Array] = []

    def add(self, gradients: Float[Array, "batch target channel *grid"]) -> None:
        """Add the gradients of one copy."""
        powers = [gradients, gradients**2, gradients**3]
        self._sums = [a + b for a, b in zip(self._sums, powers, strict=True)] if self._sums else powers
        self._count += 1

    def evidence(self, clean: Evidence) -> Evidence:
        """The clean activations with the mean gradients, and the means of their squares and cubes.

        Smooth Grad-CAM++ (Omeiza et al. 2019, eq. 7–9) is Grad-CAM++ on this.
        """
        first, second, third = (total / self._count for total in self._sums)
        return Evidence(clean.activations, first, gradient_powers=(second, third), seed=clean.seed)


class NoisyFullGradients:
    """Running sums of the signed parts of the score (see `FullGradients`) over noisy copies of the input."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: list[Array] = []
        self._rest: Array | None = None
        self._gap: Array | None = None

    def add(self, full: FullGradients) -> None:
        """Add the parts of one copy. The input's part is summed over its channels."""
        parts = [reduce(full.inputs, "b t c ... -> b t 1 ...", "sum"), *full.biases]
        self._sums = [a + b for a, b in zip(self._sums, parts, strict=True)] if self._sums else parts
        self._rest = full.rest if self._rest is None else self._rest + full.rest
        self._gap = full.gap if self._gap is None else array_namespace(full.gap).maximum(self._gap, full.gap)
        self._count += 1

    def evidence(self, clean: ModelEvidence) -> ModelEvidence:
        """The clean input and responses with the mean parts, and the largest gap of any copy.

        Smooth-FullGrad, after the authors' code (Srinivas & Fleuret, NeurIPS 2019), is FullGrad on this.
        """
        first, *biases = (total / self._count for total in self._sums)
        assert self._rest is not None
        full = FullGradients(first, tuple(biases), self._rest / self._count, self._gap)
        return dataclasses.replace(clean, full_gradients=full)


@dataclass(frozen=True)
class Size:
    """What was seen at one size of the input.

    Attributes:
        activations: the activations, at this size's own grid.
        gradients: the gradients, at the same grid (or of size 1 along space).
        counts: the images and targets for which this size takes part in the mean.
    """

    activations: Float[Array, "batch channel *space"]
    gradients: Float[Array, "batch target channel *grid"]
    counts: Bool[np.ndarray, "batch target"]


def over_sizes(sizes: Sequence[Size], space: Sequence[int], target: int) -> Evidence:
    """Mean activations and gradients over the sizes that count for each image, at one common resolution.

    This is CAMERAS (Jalwana et al., CVPR 2021, eq. 4 and 5). For an image for which no size counts, all do.

    Args:
        sizes: what was seen at each size; at least one.
        space: the common resolution.
        target: the number of the target.
    """
    A = sizes[0].activations
    counts = np.stack([size.counts[:, target] for size in sizes]).astype(np.float64)
    counts[:, counts.sum(0) == 0] = 1
    shares = counts / counts.sum(0)

    def mean(arrays: Iterable[Array]) -> Array:
        """Adds one array at a time, since at the input's size each takes channels × height × width of memory."""
        total = None
        for share, array in zip(shares, arrays, strict=True):
            weight = from_numpy(share.reshape(-1, *(1,) * (array.ndim - 1)), like=array)
            total = weight * array if total is None else total + weight * array
        return total

    gradients: Iterable[Array] = [size.gradients[:, target] for size in sizes]
    if not all(math.prod(g.shape[2:]) == 1 for g in gradients):
        gradients = (
            resize(array_namespace(A).broadcast_to(g, size.activations.shape), space)
            for g, size in zip(gradients, sizes, strict=True)
        )
    return Evidence(
        mean(resize(size.activations, space) for size in sizes),
        mean(gradients)[:, None],
    )
