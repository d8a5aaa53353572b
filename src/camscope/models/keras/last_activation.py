"""Where a model's logits are: what its output is the softmax or the sigmoid of, found by the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from camscope.models.keras.backends import to_numpy
from camscope.models.keras.shadows import Call, Watcher
from camscope.models.keras.tensors import first_float

Kind = Literal["softmax", "sigmoid"]
Where = Literal["output", "input", "activation"]


@dataclass(frozen=True)
class LastActivation:
    """A model's output is the softmax or the sigmoid of what was met here.

    Attributes:
        kind: which of them.
        layer: the name of a layer.
        where: what this layer puts out at its last call, or is given first, or gives to its own activation function.
        axis: the one along which the softmax is taken.
    """

    kind: Kind
    layer: str
    where: Where
    axis: int

    def makes(self, output: Float[np.ndarray, " ..."], logits: Float[np.ndarray, " ..."]) -> bool:
        """Whether it makes this output of these logits."""
        return _matches(self.kind, output, logits, self.axis)


class Candidates(Watcher):
    """Keeps everything that could be the logits, in the order in which it was met."""

    def __init__(self) -> None:
        self.met: dict[tuple[str, Where], Any] = {}

    def after(self, number: int, call: Call, given: Any, value: Any) -> Any:
        """What it is given, and what it puts out."""
        self._note(call.layer, "input", given)
        self._note(call.layer, "output", value)
        return value

    def activates(self, name: str, given: Any) -> None:
        """What its activation function is given."""
        self._note(name, "activation", given)

    def _note(self, name: str, where: Where, value: Any) -> None:
        self.met.pop((name, where), None)
        self.met[name, where] = value

    def found(self, output: Float[np.ndarray, " ..."]) -> LastActivation | None:
        """The last of them that the output is the softmax or the sigmoid of."""
        if output.ndim < 2 or output.min() < 0 or output.max() > 1:
            return None
        for (name, where), value in reversed(self.met.items()):
            tensor = first_float(value)
            if tensor is None or _without_ones(tensor.shape) != _without_ones(output.shape):
                continue
            logits = to_numpy(tensor).reshape(output.shape)  # axes of size 1 may be taken off at the very end
            if np.array_equal(
                logits, output
            ):  # what came out, which is its own softmax if all classes are alike
                continue
            for kind, axis in (("softmax", output.ndim - 1), ("softmax", 1), ("sigmoid", 1)):
                if _matches(kind, output, logits, axis):
                    return LastActivation(kind, name, where, axis)  # type: ignore[arg-type]
        return None


def _without_ones(shape: Sequence[int]) -> list[int]:
    return [int(size) for size in shape if size != 1]


def are_probabilities(output: Float[np.ndarray, " ..."], axis: int) -> bool:
    """Whether numbers are non-negative and sum to one along an axis."""
    return bool((output >= 0).all() and np.abs(output.sum(axis) - 1).max() < 1e-3)


def _matches(kind: str, output: np.ndarray, logits: np.ndarray, axis: int) -> bool:
    """Whether an output is the softmax or the sigmoid of logits.

    It is compared before the squashing, where it tells more: of an untrained network all probabilities are about equal.
    """
    p, z = output.astype(np.float64), logits.astype(np.float64)
    if p.shape != z.shape or not np.isfinite(z).all():
        return False
    if kind == "softmax":
        if p.shape[axis] < 2 or not are_probabilities(p, axis):
            return False
        expected = z - z.max(axis, keepdims=True)
        expected -= np.log(np.exp(expected).sum(axis, keepdims=True))
        told = p > 1e-30
        known = np.log(np.where(told, p, 1))
        spread = np.abs(expected - expected.mean(axis, keepdims=True)).max()
        close = np.abs(np.exp(expected) - p).max()
    else:
        expected = z
        told = (p > 1e-4) & (p < 1 - 1e-4)
        safe = np.where(told, p, 0.5)
        known = np.log(safe / (1 - safe))
        spread = np.abs(z).max()
        close = np.abs(1 / (1 + np.exp(-np.clip(z, -700, 700))) - p).max()
    off = np.abs(known - expected)[told].max(initial=0.0)
    exact: bool = bool(close < 2e-3 and off <= 1e-6 + 2e-3 * spread)
    return exact
