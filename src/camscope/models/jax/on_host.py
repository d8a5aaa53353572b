"""Numbers between JAX and the host, and what they look like there."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from camscope.models.observing import NARROW


def to_host(array: Any) -> Shaped[np.ndarray, " ..."]:
    """An array as one of NumPy; numbers of half precision widened."""
    found = np.asarray(array)
    return found.astype(np.float32) if str(found.dtype) in NARROW else found


def rounded_up(rows: int) -> int:
    """The number of rows that a program is compiled for: 1, 2, 3, 4, 6, 8, 12, 16 … and so on.

    Runs on altered inputs have any number of rows, and every new number is compiled anew.
    """
    power = 1 << (rows - 1).bit_length()
    return power * 3 // 4 if power >= 4 and rows <= power * 3 // 4 else power


def between_0_and_1(scores: Float[np.ndarray, " batch *n"]) -> bool:
    """Whether all numbers are."""
    return bool(((scores >= 0) & (scores <= 1)).all())


def probabilities(scores: Float[np.ndarray, " batch *n"]) -> bool:
    """Whether rows of more than one number sum to one, along the axis of classes, which is the first or the last."""
    axes = {1, scores.ndim - 1} if scores.ndim > 1 else set()
    sums = [scores.sum(axis) for axis in axes if scores.shape[axis] > 1]
    return any(bool((np.abs(total - 1) <= 1e-3).all()) for total in sums)
