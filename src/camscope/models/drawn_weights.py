"""Weights drawn anew: like those that were learnt in mean and deviation, and in nothing else."""

from __future__ import annotations

import zlib

import numpy as np
from jaxtyping import Inexact


def drawn_like(
    values: Inexact[np.ndarray, " *shape"], seed: int, name: str
) -> Inexact[np.ndarray, " *shape"]:
    """Normal draws with the mean and the deviation of some weights, by a generator of the tensor's own.

    One that is the same everywhere has its size for a deviation; what is zero everywhere stays.

    Args:
        values: the weights.
        seed: of all draws.
        name: of the tensor: what is drawn for it does not depend on which others are drawn.
    """
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    noise = random.standard_normal(values.shape)
    if np.iscomplexobj(values):
        noise = (noise + 1j * random.standard_normal(values.shape)) / np.sqrt(2)
    mean = values.mean(dtype=np.complex128 if np.iscomplexobj(values) else np.float64)
    spread = np.sqrt((np.abs(values - mean) ** 2).mean())
    if spread <= 1e-6 * abs(mean):
        spread = abs(mean)
    drawn: np.ndarray = (mean + spread * noise).astype(values.dtype)
    return drawn
