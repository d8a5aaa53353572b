"""A digest of a Keras model's weights, so that a map can be traced to them."""

from __future__ import annotations

import hashlib
from typing import Any

import keras


def weights_digest(model: Any) -> str:
    """SHA-256 over the paths, types and bytes of all variables, in the model's order.

    Args:
        model: a Keras model.
    """
    sha = hashlib.sha256()
    for variable in model.variables:
        value = keras.ops.convert_to_numpy(variable.value)
        sha.update(f"{variable.path} {variable.dtype} {value.shape}".encode())
        sha.update(value.tobytes())
    return sha.hexdigest()
