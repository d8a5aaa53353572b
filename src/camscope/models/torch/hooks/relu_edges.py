"""The ReLU that a model applies to a tensor as a function, found in the autograd graph of a forward."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.autograd.graph import GradientEdge, Node

_RELUS = ("ReluBackward", "ClampMinBackward", "ThresholdBackward", "HardtanhBackward", "ClampBackward")
"""What the nodes of functions that are a ReLU (on some input) begin with."""


def relus_of(node: Node, ends: Iterable[torch.Tensor]) -> tuple[GradientEdge, ...]:
    """What each ReLU puts out that is applied to what a node made: of two heads each may apply its own.

    A ReLU of nothing but a ReLU changes no number. The last of such a chain counts: with that the model goes on.

    Args:
        node: of a tensor.
        ends: tensors that were computed from it, among others.
    """
    readers: dict[Node, list[Node]] = {}
    for other in _nodes_behind(ends):
        for before, _ in other.next_functions:
            if before is not None:
                readers.setdefault(before, []).append(other)
    found: list[Node] = []
    waiting = [reader for reader in readers.get(node, []) if _is_relu(reader)]
    while waiting:
        relu = waiting.pop()
        after = readers.get(relu, [])
        if after and all(_is_relu(reader) for reader in after):
            waiting += after
        elif relu not in found:
            found.append(relu)
    return tuple(GradientEdge(relu, 0) for relu in found)


def _nodes_behind(ends: Iterable[torch.Tensor]) -> Iterable[Node]:
    """All nodes that the ends were computed by."""
    waiting = [end.grad_fn for end in ends if end.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        new = {before for before, _ in node.next_functions if before is not None} - seen
        seen |= new
        waiting += new


def _is_relu(node: Node) -> bool:
    return node.name().startswith(_RELUS)
