"""The networks by brute force: loops over positions and outputs, in double precision. What adapters are held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.conformance.networks import (
    Convolution,
    Flatten,
    GlobalMean,
    Linear,
    MaxPool,
    Network,
    Relu,
    Sigmoid,
    Softmax,
)


def outputs_of(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """What every layer puts out."""
    found, value = {}, x.astype(np.float64)
    for name, layer in network.layers.items():
        value = found[name] = apply(layer, value)
    return found


def after(network: Network, name: str, activations: np.ndarray) -> np.ndarray:
    """What the model puts out where this layer puts out these."""
    names, value = list(network.layers), activations.astype(np.float64)
    for later in names[names.index(name) + 1 :]:
        value = apply(network.layers[later], value)
    return value


def forward(network: Network, x: np.ndarray) -> np.ndarray:
    """What the model puts out."""
    return list(outputs_of(network, x).values())[-1]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along axis 1."""
    return np.stack([np.exp(row) / sum(np.exp(row)) for row in logits - logits.max(1, keepdims=True)])


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def derivative(
    function: Callable[[np.ndarray], np.ndarray], at: np.ndarray, step: float = 1e-6
) -> np.ndarray:
    """Of a scalar by each value of one image's array, by central differences.

    Args:
        function: from a batch of such arrays to a scalar each.
        at: without a batch axis.
        step: to either side.
    """
    changes = step * np.eye(at.size).reshape(at.size, *at.shape)
    difference = function(at + changes) - function(at - changes)
    return (difference / (2 * step)).reshape(at.shape)


def apply(layer: Any, x: np.ndarray) -> np.ndarray:
    """One layer."""
    match layer:
        case Convolution():
            return _convolved(layer, x)
        case Relu():
            return np.where(x > 0, x, 0.0)
        case MaxPool():
            rows, columns = range(0, x.shape[2], 2), range(0, x.shape[3], 2)
            pooled = [[x[:, :, i : i + 2, j : j + 2].max((2, 3)) for j in columns] for i in rows]
            return np.moveaxis(np.array(pooled), (0, 1), (2, 3))
        case GlobalMean():
            positions = [x[:, :, i, j] for i in range(x.shape[2]) for j in range(x.shape[3])]
            return (sum(positions) / len(positions))[:, :, None, None]
        case Flatten():
            return np.stack([image.ravel() for image in x])
        case Linear():
            pairs = zip(layer.weight.astype(np.float64), layer.bias.astype(np.float64), strict=True)
            return np.stack([(x * row).sum(1) + b for row, b in pairs], axis=1)
        case Softmax():
            return softmax(x)
        case Sigmoid():
            return sigmoid(x)
    raise AssertionError(layer)


def _convolved(layer: Convolution, x: np.ndarray) -> np.ndarray:
    p, s = layer.padding, layer.stride
    weight = layer.weight.astype(np.float64)
    out, _, height, width = weight.shape
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    rows = (x.shape[2] - height) // s + 1
    columns = (x.shape[3] - width) // s + 1
    found = np.zeros((len(x), out, rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * s : i * s + height, j * s : j * s + width]
            found[:, :, i, j] = (window[:, None] * weight).sum((2, 3, 4)) + layer.bias
    return found
