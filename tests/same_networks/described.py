"""Four small networks, described once in NumPy: steps with their weights, which every framework's builder follows.

Arrays are `batch channel *space`, kernels `out in *size`. A builder may keep its channels elsewhere; step names stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

CLASSES = 4


@dataclass(frozen=True, eq=False)
class Convolution:
    """With as much padding on every side."""

    weight: np.ndarray
    bias: np.ndarray
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class Add:
    """The sum of two inputs."""


@dataclass(frozen=True)
class Mean:
    """Over space: `batch channel`."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Along channels, of `out in`."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Tokens:
    """Positions one after the other, row by row: `batch token channel`."""


@dataclass(frozen=True, eq=False)
class ClassToken:
    """One more token in front."""

    value: np.ndarray


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Of each token; ε is 1e-5."""

    scale: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, eq=False)
class Attention:
    """One head: softmax(q kᵀ / √d) v, all of `channel channel`."""

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray


@dataclass(frozen=True)
class FirstToken:
    """`batch channel`."""


Op: TypeAlias = (
    Convolution | Relu | Add | Mean | Linear | Tokens | ClassToken | LayerNorm | Attention | FirstToken
)


@dataclass(frozen=True)
class Step:
    """One operation on what earlier steps gave, `x` being the network's input."""

    op: Op
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Described:
    """A network.

    Attributes:
        steps: by name, in order; the last gives the scores.
        size: of the input along each axis of space.
        layer: whose maps are compared.
    """

    steps: dict[str, Step]
    size: tuple[int, ...]
    layer: str

    @property
    def x(self) -> np.ndarray:
        """Two inputs."""
        return np.random.default_rng(9).standard_normal((2, 3, *self.size)).astype(np.float32)

    def run(self, apply: Callable[[str, Op, list[Any]], Any], x: Any) -> Any:
        """What the last step gives.

        Args:
            apply: one step: from its name, operation and inputs to what it gives.
            x: the input.
        """
        values = {"x": x}
        for name, step in self.steps.items():
            values[name] = apply(name, step.op, [values[one] for one in step.inputs])
        return list(values.values())[-1]


def in_order(**ops: Op) -> dict[str, Step]:
    """Each step takes what the one before it gives."""
    before = ["x", *ops]
    return {name: Step(op, (before[i],)) for i, (name, op) in enumerate(ops.items())}


class _Random:
    """Draws weights."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * self._rng.standard_normal(shape)).astype(np.float32)

    def convolution(
        self, n_in: int, n_out: int, *size: int, stride: int = 1, padding: int = 0
    ) -> Convolution:
        scale = float(np.sqrt(2 / (n_in * np.prod(size))))
        return Convolution(
            self.normal(n_out, n_in, *size, scale=scale), self.normal(n_out, scale=0.2), stride, padding
        )

    def linear(self, n_in: int, n_out: int = CLASSES) -> Linear:
        return Linear(self.normal(n_out, n_in), self.normal(n_out, scale=0.3))


def small() -> Described:
    """Two convolutions, pooling, a linear layer."""
    draw = _Random(0)
    steps = in_order(
        stem=draw.convolution(3, 6, 3, 3, stride=2, padding=1),
        stem_relu=Relu(),
        body=draw.convolution(6, 8, 3, 3, padding=1),
        body_relu=Relu(),
        pool=Mean(),
        head=draw.linear(8),
    )
    return Described(steps, (16, 12), "body_relu")


def residual() -> Described:
    """The layer is inside of a branch: what is beside it is kept where the part after it runs again."""
    draw = _Random(1)
    steps = {
        "stem": Step(draw.convolution(3, 6, 3, 3, stride=2, padding=1), ("x",)),
        "branch": Step(draw.convolution(6, 6, 3, 3, padding=1), ("stem",)),
        "branch_relu": Step(Relu(), ("branch",)),
        "back": Step(draw.convolution(6, 6, 1, 1), ("branch_relu",)),
        "sum": Step(Add(), ("stem", "back")),
        "sum_relu": Step(Relu(), ("sum",)),
        "pool": Step(Mean(), ("sum_relu",)),
        "head": Step(draw.linear(6), ("pool",)),
    }
    return Described(steps, (12, 16), "branch_relu")


def signal() -> Described:
    """One axis of space."""
    draw = _Random(2)
    steps = in_order(
        stem=draw.convolution(3, 6, 5, stride=2, padding=2),
        stem_relu=Relu(),
        body=draw.convolution(6, 8, 3, padding=1),
        body_relu=Relu(),
        pool=Mean(),
        head=draw.linear(8),
    )
    return Described(steps, (48,), "body_relu")


def tokens() -> Described:
    """Patches as tokens behind a class token, one block of attention, the class token's score."""
    draw = _Random(3)
    steps = {
        "embed": Step(draw.convolution(3, 8, 4, 4, stride=4), ("x",)),
        "tokens": Step(Tokens(), ("embed",)),
        "with_class": Step(ClassToken(draw.normal(1, 1, 8)), ("tokens",)),
        "norm": Step(LayerNorm(1 + draw.normal(8, scale=0.2), draw.normal(8, scale=0.2)), ("with_class",)),
        "attention": Step(Attention(*(draw.normal(8, 8, scale=0.5) for _ in range(3))), ("norm",)),
        "sum": Step(Add(), ("with_class", "attention")),
        "first": Step(FirstToken(), ("sum",)),
        "head": Step(draw.linear(8), ("first",)),
    }
    return Described(steps, (16, 24), "norm")


NETWORKS: dict[str, Callable[[], Described]] = {
    "small": small,
    "residual": residual,
    "1D": signal,
    "tokens": tokens,
}
