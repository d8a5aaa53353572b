"""Maps as files keep them, in half precision, and as they are shown."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from camscope.arrays.ops import relu


def halved(
    maps: Float[np.ndarray, "sample target *space"],
) -> tuple[Float[np.ndarray, "sample target *space"], Float[np.ndarray, "sample target"]]:
    """Maps in half precision, and what each was divided by: gradients are often below what half precision can hold.

    Args:
        maps: the raw maps.
    """
    finite = np.where(np.isfinite(maps), np.abs(maps), 0).astype(np.float32)
    largest = finite.reshape(*maps.shape[:2], -1).max(axis=-1, initial=0.0)
    scales = np.where(largest > 0, largest, np.float32(1))
    with np.errstate(over="ignore"):
        return (maps / scales.reshape(*scales.shape, *[1] * (maps.ndim - 2))).astype(np.float16), scales


def whole(
    halves: Float[np.ndarray, "*batch"], scales: Float[np.ndarray, "*some"]
) -> Float[np.ndarray, "*batch"]:
    """Maps again from what `halved` made of them, as precise as half precision is to each map's maximum.

    Args:
        halves: the maps in half precision.
        scales: what each was divided by: of their first axes.
    """
    axes = (1,) * (halves.ndim - scales.ndim)
    return np.asarray(halves.astype(np.float32) * scales.astype(np.float32).reshape(*scales.shape, *axes))


def displayed(maps: Float[np.ndarray, "*axes"], *, rectified: bool) -> Float[np.ndarray, "*axes"]:
    """Raw maps with the formula's last ReLU, and zero where they are not finite.

    Args:
        maps: the raw signed maps.
        rectified: whether the method's negative values mean evidence against.
    """
    finite = np.where(np.isfinite(maps), maps, np.float32(0))
    return np.asarray(relu(finite)) if rectified else finite
