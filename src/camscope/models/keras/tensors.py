"""The tensors inside of what a layer or a model puts out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def is_float(value: Any) -> bool:
    """Whether a value is a tensor of real numbers."""
    return bool(keras.ops.is_tensor(value)) and "float" in keras.backend.standardize_dtype(value.dtype)


def first_float(value: Any) -> Any:
    """The first tensor of real numbers in what a layer put out; None if there is none."""
    return next((leaf for leaf in keras.tree.flatten(value) if is_float(leaf)), None)


def with_first_float(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same with the first tensor of real numbers changed."""
    leaves = keras.tree.flatten(value)
    place = next(i for i, leaf in enumerate(leaves) if is_float(leaf))
    leaves[place] = change(leaves[place])
    return keras.tree.pack_sequence_as(value, leaves)
