"""What a model does to a photo first: layers, or arithmetic in its graph, that scale values up to 255; and resizing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_LARGE = 64
"""What divides by more than this, or subtracts more than 1, is made for values up to 255."""

_KEEPING_VALUES = ("Resizing", "CenterCrop", "Dropout", "GetItem", "Stack", "Flip", "Cast", "Identity")
"""Layers and operations that leave values as they are in inference, or turn the channels round; beside `Random…`."""


def scales_bytes(model: Any) -> bool:
    """Whether the first that a model does to values is to scale those up to 255 to small ones.

    Args:
        model: a Keras model.
    """
    for one in _steps(model):
        kind = type(one).__name__
        if not (kind in _KEEPING_VALUES or kind.startswith("Random")):
            return _scales(one, kind)
    return False


def resized_to(model: Any) -> tuple[int, int] | None:
    """The height and width that a model's first layers resize photos to; None if they do not."""
    for one in _steps(model):
        kind = type(one).__name__
        if kind == "Resizing":
            return int(one.height), int(one.width)
        if not (
            kind in _KEEPING_VALUES or kind.startswith("Random") or kind in ("Rescaling", "Normalization")
        ):
            return None
    return None


def _steps(model: Any) -> Iterator[Any]:
    """The layers and operations of a model in their order, nested models opened; without the inputs."""
    graph = getattr(model, "_functional", None) or model
    steps = getattr(graph, "operations", None) or getattr(model, "layers", None) or []
    for one in steps:
        kinds = {base.__name__ for base in type(one).__mro__}
        if "Model" in kinds:
            yield from _steps(one)
        elif "InputLayer" not in kinds:
            yield one


def _scales(one: Any, kind: str) -> bool:
    if kind == "Rescaling":
        return bool(0 < np.max(np.abs(one.scale)) <= 1 / _LARGE)
    if kind == "Normalization":
        mean = one.input_mean if one.input_mean is not None else one.mean
        return mean is not None and bool(np.max(_numbers(mean)) > 1)
    constant = _constant(one) if kind in ("Divide", "TrueDivide", "Multiply", "Subtract", "Add") else None
    if constant is None:
        return False
    lowest, highest = constant.min(), constant.max()
    return bool(
        (kind in ("Divide", "TrueDivide") and lowest > _LARGE)
        or (kind == "Multiply" and 0 < lowest <= highest <= 1 / _LARGE)
        or (kind == "Subtract" and highest > 1)
        or (kind == "Add" and lowest < -1)
    )


def _constant(operation: Any) -> np.ndarray | None:
    """The numbers that stand second in an operation of a functional graph; None if there are none."""
    from keras.utils import is_keras_tensor

    nodes = getattr(operation, "_inbound_nodes", ())
    second = [node.arguments.args[1] for node in nodes[:1] if len(node.arguments.args) > 1]
    constants = [one for one in second if not is_keras_tensor(one)]
    return _numbers(constants[0]) if constants else None


def _numbers(value: Any) -> np.ndarray:
    from keras.ops import convert_to_numpy

    return np.asarray(value if isinstance(value, (int, float)) else convert_to_numpy(value), np.float64)
