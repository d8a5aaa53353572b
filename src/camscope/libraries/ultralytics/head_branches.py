"""What the branches of a detector's head put out, while the network runs once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from camscope.models.torch.hooks.modules import tensors_of
from camscope.models.torch.hooks.session import hook_after, hook_before

Branches = dict[str, list[torch.Tensor]]
"""What the branches of a head put out, level by level, by the names of their lists."""


@contextmanager
def watched(head: nn.Module) -> Iterator[Branches]:
    """Keep what each branch of a head puts out for each level, while the network runs once.

    Heads that need no suppression were trained by a branch that reads the features without their graph, so that only
    the other branch teaches the backbone. The numbers are the same; here it is given the graph back.
    """
    found: Branches = {}
    levels: list[torch.Tensor] = []

    def enters(_module: nn.Module, inputs: Any) -> None:
        levels[:] = tensors_of(inputs)

    def with_graph(_module: nn.Module, inputs: Any) -> Any:
        return tuple(_own(levels, one) if isinstance(one, torch.Tensor) else one for one in inputs)

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4:
                found.setdefault(name, []).append(output)

        return hook

    with ExitStack() as stack:
        stack.callback(hook_before(head, enters).remove)
        for name, branch in head.named_children():
            for level in branch if isinstance(branch, nn.ModuleList) else ():
                stack.callback(hook_before(level, with_graph).remove)
                stack.callback(hook_after(level, keep(name)).remove)
        yield found


def _own(levels: Sequence[torch.Tensor], given: torch.Tensor) -> torch.Tensor:
    """The level whose numbers these are, in the same memory; what was given, if it has a graph or is none of them."""
    if given.requires_grad:
        return given
    same = (one for one in levels if one.data_ptr() == given.data_ptr() and one.shape == given.shape)
    return next((one for one in same if one.stride() == given.stride()), given)
