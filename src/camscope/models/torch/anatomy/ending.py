"""How a model's output comes about: its classifier, and a softmax or sigmoid after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from camscope.models.torch.anatomy.trace import Output, Trace


def find_classifier(outputs: Sequence[Output], logits: torch.Tensor | None) -> str | None:
    """The name of the last layer that could be the classifier. Whether it is one, numbers decide (`head.verified`).

    Args:
        outputs: in the order the modules finished.
        logits: what the model put out.
    """
    classes = _count_of_classes(logits)
    for output in reversed(outputs):
        for name, module in zip(output.names, output.modules, strict=True):
            if _is_linear_to(module, classes):
                return name
    return None


def find_final_activation(trace: Trace, logits: torch.Tensor | None) -> str | None:
    """The name of the softmax or sigmoid module whose output the model returns, perhaps in another shape."""
    return next((name for name, tensor in trace.activated if _is_or_views(logits, tensor)), None)


def returns_softmax(logits: torch.Tensor) -> bool:
    """Whether the outputs are probabilities, each row's summing to one.

    Args:
        logits: of an image and an altered copy of it: what happens to sum to one for one input does not for another.
    """
    return _are_probabilities(logits)


def _count_of_classes(logits: torch.Tensor | None) -> int | None:
    """How many classes a row of logits has; None of dense outputs."""
    if logits is None or logits.ndim > 2 or logits.ndim == 0:
        return None
    return 1 if logits.ndim == 1 else logits.shape[-1]


def _is_linear_to(module: nn.Module, classes: int | None) -> bool:
    """Whether it is a linear layer, or a convolution with a kernel of one position, with so many outputs."""
    if isinstance(module, nn.Linear):
        return module.out_features == classes
    return (
        isinstance(module, nn.modules.conv._ConvNd)
        and module.out_channels == classes
        and all(size == 1 for size in module.kernel_size)
        and module.groups == 1
    )


def _is_or_views(logits: torch.Tensor | None, tensor: torch.Tensor) -> bool:
    """Whether the output is that tensor, or the same numbers in another shape (squeezed, flattened)."""
    return logits is tensor or (
        logits is not None and logits.data_ptr() == tensor.data_ptr() and logits.numel() == tensor.numel()
    )


def _are_probabilities(outputs: torch.Tensor) -> bool:
    """Whether rows of more than one number are non-negative and sum to one."""
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        return False
    rows = outputs.float()
    return not bool((rows < 0).any() or (rows.sum(1) - 1).abs().max() > 1e-3)
