"""How a model's output comes about: its classifier, and a softmax or sigmoid after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from camscope.models.torch.anatomy.trace import Forward, Output, Trace
from camscope.models.torch.hooks.activations import MODULES, Final, calls_of, logits_before
from camscope.models.torch.hooks.grafting import shares_memory


def find_classifier(outputs: Sequence[Output], logits: torch.Tensor | None) -> str | None:
    """The name of the layer that could be the classifier. Whether it is one, numbers decide (`head.verified`).

    Of several heads it is the one that put out what is explained, or what the last modules made that from; where that
    cannot be told, the last one.

    Args:
        outputs: in the order the modules finished.
        logits: what the model put out.
    """
    classes = _count_of_classes(logits)
    found = {id(output): name for output in outputs if (name := _linear_in(output, classes)) is not None}
    end = next((output for output in reversed(outputs) if output.tensor() is logits), None)
    while end is not None:
        if id(end) in found:
            return found[id(end)]
        end = end.follows
    return next(reversed(found.values()), None)


def _linear_in(output: Output, classes: int | None) -> str | None:
    """The name of a module that put it out and could be the classifier."""
    for name, module in zip(output.names, output.modules, strict=True):
        if _is_linear_to(module, classes):
            return name
    return None


@dataclass(frozen=True)
class Found:
    """How a model's output is made, as far as can be told from one image and an altered one.

    Attributes:
        final: the softmax or sigmoid that makes it, if one does.
        softmax_by_hand: whether rows sum to one all the same.
        between_0_and_1: whether all numbers are, though nothing is known that would make them probabilities.
    """

    final: Final | None = None
    softmax_by_hand: bool = False
    between_0_and_1: bool = False


def find_ending(
    model: nn.Module, forward: Forward, image: torch.Tensor, trace: Trace, output: torch.Tensor
) -> Found:
    """How a model's output is made.

    Where it could be probabilities, and no module makes it, the model is run once more to look for functions: on noise,
    or on token numbers in another order (not drawn anew, since not all numbers are tokens). Outputs that look like
    probabilities for the image alone are none.

    Args:
        model: an unwrapped module.
        forward: runs the model and selects its output.
        image: a batch of one.
        trace: of the forward on the image.
        output: what came out.
    """
    for name, module, tensor in trace.activated:
        kind = next(kind for base, kind in MODULES.items() if isinstance(module, base))
        if shares_memory(tensor, output):
            return Found(Final(kind, name, frozenset({tuple(tensor.shape[1:])})))
    if not output.is_floating_point() or not (is_between_0_and_1(output) or are_log_probabilities(output)):
        return Found()
    with torch.no_grad(), calls_of(model) as calls:
        another = forward(_other(image))
    found = logits_before(calls, another)
    if found is not None:
        (_, kind), some = found
        shapes = frozenset(tuple(call.output.shape[1:]) for call in some)
        return Found(Final(some[0].kind, None, shapes))
    if are_probabilities(output) and are_probabilities(another):
        return Found(softmax_by_hand=True)
    return Found(between_0_and_1=is_between_0_and_1(output) and is_between_0_and_1(another))


def are_probabilities(outputs: torch.Tensor) -> bool:
    """Whether rows of more than one number are non-negative and sum to one."""
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        return False
    rows = outputs.float()
    return not bool((rows < 0).any() or (rows.sum(1) - 1).abs().max() > 1e-3)


def are_log_probabilities(outputs: torch.Tensor) -> bool:
    """Whether rows of more than one number are logarithms of probabilities that sum to one."""
    return not bool((outputs > 0).any()) and are_probabilities(outputs.float().exp())


def is_between_0_and_1(outputs: torch.Tensor) -> bool:
    """Whether all numbers are."""
    return bool(((outputs >= 0) & (outputs <= 1)).all())


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


def _other(image: torch.Tensor) -> torch.Tensor:
    if image.is_floating_point():
        return torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    return image.flip(-1)
