"""Arrays of any library on the host, and without what they were made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import to_device

from camscope.arrays.ops import Array


def detached(x: Array) -> Array:
    """The values without what they were made from."""
    return x.detach() if hasattr(x, "detach") else x


def to_numpy(x: Any) -> np.ndarray:
    """An array of any library, or numbers in lists, as NumPy on the host."""
    if isinstance(x, np.ndarray):
        return x
    return np.asarray(to_device(x.detach(), "cpu")) if hasattr(x, "detach") else np.asarray(x)
