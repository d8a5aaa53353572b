"""Which tensor of a graph holds the scores: before a final softmax or sigmoid, however that was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import onnx

from camscope.models.observing import Ending
from camscope.models.onnx.onnx_graph import OnnxGraph

_ROUNDED = 0.02
"""How far a quantised output may be from what its scores make: a few of 256 steps."""

_EXACT = 1e-3

Kind: TypeAlias = Literal["softmax", "log-softmax", "sigmoid"]

_KINDS: Mapping[str, Kind] = {
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "Sigmoid": "sigmoid",
    "QLinearSoftmax": "softmax",
    "QLinearSigmoid": "sigmoid",
}


@dataclass(frozen=True)
class Scores:
    """Where scores are read.

    Attributes:
        tensor: its name; what the model returns, if nothing better was found.
        ending: how the output is made of it.
    """

    tensor: str
    ending: Ending = field(default_factory=Ending)


Values: TypeAlias = Callable[[Sequence[str]], Mapping[str, np.ndarray]]
"""Runs the model on a few inputs, and gives some tensors of it."""


def find_scores(graph: OnnxGraph, output: str, values: Values) -> Scores:
    """The tensor that holds the scores of an output.

    A candidate is found by operators, and taken only if the output is made of it in numbers.

    Args:
        graph: of the model.
        output: the name of what is explained.
        values: runs the model on inputs that differ: what looks like probabilities for one alone may be none.
    """
    for kind, tensor in _candidates(graph, output):
        found = values([output, tensor])
        made, scores = found[output].astype(np.float64), found[tensor].astype(np.float64)
        tolerance = _ROUNDED if graph.is_quantised else _EXACT
        if scores.size == made.size and _makes(kind, scores.reshape(made.shape), made, tolerance):
            return Scores(tensor, Ending(sigmoid=kind == "sigmoid", softmax=kind != "sigmoid"))
    made = values([output])[output]
    return Scores(output, ending_of(made))


def ending_of(made: np.ndarray) -> Ending:
    """What can be told of an output by its numbers alone.

    Args:
        made: the output for inputs that differ.
    """
    if made.dtype.kind != "f":
        return Ending()
    if _are_probabilities(made):
        return Ending(probabilities=True)
    return Ending(between_0_and_1=bool(((made >= 0) & (made <= 1)).all()))


def _candidates(graph: OnnxGraph, output: str) -> Iterator[tuple[Kind, str]]:
    """Tensors that the output could be a softmax or sigmoid of, the likeliest first."""
    node = graph.maker(output)
    if node is None:
        return
    if node.op_type in _KINDS:
        rounds = graph.made_by.get(node.input[0]) if node.op_type.startswith("QLinear") else None
        yield _KINDS[node.op_type], node.input[0] if rounds is None else rounds.input[0]
    elif node.op_type == "Div":
        yield from (("softmax", name) for name in _written_out(graph, node))


def _written_out(graph: OnnxGraph, division: onnx.NodeProto) -> Iterator[str]:
    """What a softmax that is written out, exp(z − max z) / Σ exp(z − max z), could be of."""
    powers = graph.maker(division.input[0])
    if powers is None or powers.op_type != "Exp":
        return
    less = graph.maker(powers.input[0])
    if less is not None and less.op_type == "Sub":
        yield less.input[0]
    yield powers.input[0]


def _makes(kind: Kind, scores: np.ndarray, made: np.ndarray, tolerance: float) -> bool:
    """Whether scores make an output. The axis of classes is the second, or the last."""
    if kind == "sigmoid":
        return bool(np.abs(1 / (1 + np.exp(-scores)) - made).max(initial=0) <= tolerance)
    made = np.exp(made) if kind == "log-softmax" else made
    return any(
        np.abs(_softmax(scores, axis) - made).max(initial=0) <= tolerance for axis in _class_axes(made)
    )


def _softmax(scores: np.ndarray, axis: int) -> np.ndarray:
    powers: np.ndarray = np.exp(scores - scores.max(axis=axis, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=axis, keepdims=True)
    return shares


def _class_axes(made: np.ndarray) -> list[int]:
    """The axes that could be of classes, of which there must be two."""
    return [axis for axis in dict.fromkeys((1, made.ndim - 1)) if made.ndim > axis >= 1 < made.shape[axis]]


def _are_probabilities(made: np.ndarray) -> bool:
    """Whether rows of more than one number are not negative and sum to one."""
    if not (made >= 0).all():
        return False
    whole = made.astype(np.float64)
    return any(np.abs(whole.sum(axis=axis) - 1).max() <= _EXACT for axis in _class_axes(made))
