"""Copies of a model, also of one that keeps on itself what it computed last, which PyTorch alone refuses to copy."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from camscope.errors import ModelError, first_line


def copied(model: nn.Module, instead: str) -> nn.Module:
    """A copy of a model that shares nothing with it.

    What it kept of its last forward (a skip for its decoder, say) is copied without the graph that it is on.

    Args:
        model: an unwrapped module.
        instead: what to do where it cannot be copied, for the error.

    Raises:
        ModelError: if it cannot.
    """
    try:
        with _WithoutGraphs():
            return copy.deepcopy(model)
    except Exception as error:
        raise ModelError(
            f"This {type(model).__name__} cannot be copied (copy.deepcopy: {first_line(error)}): {instead}"
        ) from error


class _WithoutGraphs(TorchFunctionMode):
    """Copies tensors that were computed, too."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            return memo.setdefault(id(tensor), tensor.detach().clone())
        return func(*args, **(kwargs or {}))
