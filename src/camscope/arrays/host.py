"""Arrays of any library without their autograd graph, with the array API, and as NumPy arrays on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj, to_device

from camscope.arrays.ops import Array


def detached(x: Array) -> Array:
    """The values without the autograd graph they came from."""
    return x.detach() if hasattr(x, "detach") else x


def to_numpy(x: Any) -> np.ndarray:
    """An array of any library, or a list of numbers, as a NumPy array in the host's memory."""
    if isinstance(x, np.ndarray):
        return x
    return np.asarray(to_device(x.detach(), "cpu")) if hasattr(x, "detach") else np.asarray(x)


def with_array_api(x: Any) -> Array:
    """The same array, if its library has the array API; else a NumPy array, as for TensorFlow, which has not."""
    return x if is_array_api_obj(x) else to_numpy(x)
