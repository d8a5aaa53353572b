"""Small 2D networks in plain NumPy: data, which every framework's case builds with the same weights.

A network is a list of named layers, run in order. The maths is vectorised here; `reference.py` has the same as loops,
which is what adapters are compared with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Op(Protocol):
    """One layer."""

    def __call__(self, x: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Convolution:
    """Of `out in height width`, with as much padding on every side."""

    weight: np.ndarray
    bias: np.ndarray
    stride: int = 1
    padding: int = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        p, s = self.padding, self.stride
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.weight.shape[2:], axis=(2, 3))
        out = np.tensordot(windows[:, :, ::s, ::s], self.weight, axes=([1, 4, 5], [1, 2, 3]))
        return np.moveaxis(out + self.bias, -1, 1)


@dataclass(frozen=True)
class Relu:
    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)


@dataclass(frozen=True)
class Rounded:
    """To few bits, as in a quantised network."""

    step: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.step * np.round(x / self.step)


@dataclass(frozen=True)
class MaxPool:
    """The largest of each 2×2."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        b, c, h, w = x.shape
        return x.reshape(b, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))


@dataclass(frozen=True)
class Again:
    """Puts out the network's input, whatever the layers before it put out. `Network` knows it."""


@dataclass(frozen=True)
class GlobalMean:
    """`batch channel 1 1`."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x.mean(axis=(2, 3), keepdims=True)


@dataclass(frozen=True)
class Flatten:
    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(x.shape[0], -1)


@dataclass(frozen=True, eq=False)
class Linear:
    """Of `out in`."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ self.weight.T + self.bias


@dataclass(frozen=True)
class Softmax:
    def __call__(self, x: np.ndarray) -> np.ndarray:
        powers = np.exp(x - x.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Sigmoid:
    def __call__(self, x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))


@dataclass(eq=False)
class Network:
    """Named layers in order; called, it puts out what the last one does.

    Attributes:
        layers: by name.
        preprocessing: how photos become its input, if it says so.
        class_names: one per output, if it says so.
    """

    layers: dict[str, Any]
    preprocessing: Any = None
    class_names: list[str] | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return list(self.outputs(x).values())[-1]

    def outputs(self, x: np.ndarray, after: str | None = None, given: Any = None) -> dict[str, np.ndarray]:
        """What every layer puts out, by name.

        Args:
            x: the network's input.
            after: only of the layers after this one.
            given: what this one put out.
        """
        names = list(self.layers)
        value, found = (x if after is None else given), {}
        for name in names if after is None else names[names.index(after) + 1 :]:
            op = self.layers[name]
            value = found[name] = x if isinstance(op, Again) else op(value)
        return found

    def arrays(self) -> Mapping[str, np.ndarray]:
        """The parameters by name."""
        return {
            f"{name}.{field}": getattr(layer, field)
            for name, layer in self.layers.items()
            for field in ("weight", "bias")
            if hasattr(layer, field)
        }

    def as_type(self, dtype: Any) -> Network:
        """The same in another precision."""

        def cast(layer: Any) -> Any:
            if not hasattr(layer, "weight"):
                return layer
            return dataclasses.replace(
                layer, weight=layer.weight.astype(dtype), bias=layer.bias.astype(dtype)
            )

        return dataclasses.replace(self, layers={name: cast(op) for name, op in self.layers.items()})


CLASSES, CHANNELS, SIZE = 5, 8, 16


def random_batch(count: int = 3, seed: int = 1) -> np.ndarray:
    """Inputs for these networks, float32."""
    return np.random.default_rng(seed).standard_normal((count, 3, SIZE, SIZE)).astype(np.float32)


def _convolution(
    rng: np.random.Generator, n_in: int, n_out: int, size: int = 3, **options: int
) -> Convolution:
    weight = rng.standard_normal((n_out, n_in, size, size)) * np.sqrt(2 / (n_in * size * size))
    return Convolution(_f32(weight), _f32(0.2 * rng.standard_normal(n_out)), padding=size // 2, **options)


def _linear(rng: np.random.Generator, n_in: int, n_out: int) -> Linear:
    return Linear(_f32(rng.standard_normal((n_out, n_in))), _f32(0.3 * rng.standard_normal(n_out)))


def _f32(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


def _body(rng: np.random.Generator) -> dict[str, Any]:
    """Grids of 16², 8² and 4²."""
    return {
        "stem": _convolution(rng, 3, 6),
        "stem_relu": Relu(),
        "halve": MaxPool(),
        "body": _convolution(rng, 6, CHANNELS),
        "body_relu": Relu(),
        "last": _convolution(rng, CHANNELS, CHANNELS, stride=2),
        "last_relu": Relu(),
    }


def classifier(classes: int = CLASSES, end: Any = None, seed: int = 0) -> Network:
    """Global average pooling and one linear layer, with a softmax or sigmoid at the end if one is given."""
    rng = np.random.default_rng(seed)
    layers = {
        **_body(rng),
        "pool": GlobalMean(),
        "flat": Flatten(),
        "head": _linear(rng, CHANNELS, classes),
    }
    return Network(layers if end is None else {**layers, "end": end})


def hidden_head() -> Network:
    """A head of two linear layers with a ReLU between them: not linear in the pooled channels."""
    rng = np.random.default_rng(2)
    return Network(
        {
            **_body(rng),
            "pool": GlobalMean(),
            "flat": Flatten(),
            "hidden": _linear(rng, CHANNELS, 12),
            "hidden_relu": Relu(),
            "head": _linear(rng, 12, CLASSES),
        }
    )


def flattened() -> Network:
    """A linear head on all positions side by side: linear, but not in the pooled channels."""
    rng = np.random.default_rng(3)
    return Network({**_body(rng), "flat": Flatten(), "head": _linear(rng, CHANNELS * 16, CLASSES)})


def segmenter() -> Network:
    """Scores of every position."""
    rng = np.random.default_rng(4)
    return Network({**_body(rng), "score": _convolution(rng, CHANNELS, CLASSES, size=1)})


def cut_off() -> Network:
    """Nothing before `cut` reaches the score."""
    rng = np.random.default_rng(5)
    body = _body(rng)
    layers = {"stem": body["stem"], "stem_relu": Relu(), "cut": Again()}
    rest = {"halve": MaxPool(), "body": _convolution(rng, 3, CHANNELS), "body_relu": Relu()}
    head = {"pool": GlobalMean(), "flat": Flatten(), "head": _linear(rng, CHANNELS, CLASSES)}
    return Network({**layers, **rest, **head})
