"""Arrays of any library without their autograd graph, and as NumPy arrays on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import to_device

from camscope.arrays.ops import Array


def detached(x: Array) -> Array:
    """The values without the autograd graph they came from."""
    return x.detach() if hasattr(x, "detach") else x


def to_numpy(x: Any) -> np.ndarray:
    """An array of any library, or a list of numbers, as a NumPy array in the host's memory."""
    if isinstance(x, np.ndarray):
        return x
    return np.asarray(to_device(x.detach(), "cpu")) if hasattr(x, "detach") else np.asarray(x)
