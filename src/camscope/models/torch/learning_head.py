"""The weights of a linear head as a forward of training used them: on the graph, with a batch norm folded in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from camscope.errors import MethodError
from camscope.models.torch.hooks.session import hook_before
from camscope.models.torch.precision import widened

_CONSTANT = (nn.modules.dropout._DropoutNd, nn.Identity, nn.Flatten)
"""What stands for itself on the average: a dropout's mean over what it draws is what went in."""


def check_foldable(modules: Sequence[nn.Module]) -> None:
    """Refuse a head whose weights cannot be folded into one linear layer's while they learn.

    Args:
        modules: a head that was verified to be linear, in order.

    Raises:
        MethodError: naming the module, and a method that needs no weights of the head.
    """
    known = (nn.Linear, nn.modules.conv._ConvNd, _BatchNorm, *_CONSTANT)
    other = next((module for module in modules if not isinstance(module, known)), None)
    if other is not None:
        raise MethodError(
            f"The head is linear, but one of its modules is a {type(other).__name__}, whose weights are not followed "
            "while they learn: linear layers, 1×1 convolutions, batch norms and dropout are. A gradient method "
            "gives the same map there and needs no weights of the head."
        )


@dataclass(frozen=True)
class _Call:
    """One module of the head, as it was called.

    Attributes:
        module: itself.
        x: what went in.
        weight: its own at that time: a parametrised one (weight norm) is made anew whenever it is asked for.
    """

    module: nn.Module
    x: torch.Tensor
    weight: torch.Tensor | None


class LearningHead:
    """A context that watches the modules of a linear head while the model runs.

    Args:
        modules: from what is pooled to the logits, in order; see `check_foldable`.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self._calls: dict[nn.Module, _Call] = {}
        self._hooks = ExitStack()

    def __enter__(self) -> LearningHead:
        def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._calls[module] = _Call(
                module, inputs[0], cast("torch.Tensor | None", getattr(module, "weight", None))
            )

        for module in self._modules:
            self._hooks.callback(hook_before(module, note).remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    @property
    def learns(self) -> bool:
        """Whether what is pooled was on a graph."""
        return self._calls[self._modules[0]].x.requires_grad

    def weights(self) -> Float[torch.Tensor, "output channel"]:
        """W of this forward: logit = W · mean + b, but for what dropout left out.

        Batch norm counts as the step used it: by the statistics of this batch in train mode, through which gradients
        flow too, and by the running ones in eval mode. Then the map sums to the very logits that the loss is of, and
        in eval mode it is the map that `Explainer` gives.

        Raises:
            MethodError: if a batch norm took its statistics from other processes too.
        """
        behind: torch.Tensor | None = None
        for module in reversed(self._modules):
            call = self._calls[module]
            if isinstance(module, _BatchNorm):
                scale = _scale(module, call)
                behind = torch.diag(scale) if behind is None else behind * scale
            elif not isinstance(module, _CONSTANT):
                own = widened(cast(torch.Tensor, call.weight)).flatten(1)
                behind = own if behind is None else behind @ own
        return cast(torch.Tensor, behind)


def _scale(module: _BatchNorm, call: _Call) -> Float[torch.Tensor, " channel"]:
    """γ / √(σ² + ε), what a batch norm multiplies each channel with in this forward."""
    if module.training or module.running_var is None:
        if isinstance(module, nn.SyncBatchNorm) and module.training:
            raise MethodError(
                "The head holds a SyncBatchNorm, whose statistics are those of all processes and not known here. Take "
                "a gradient method, which needs no weights of the head."
            )
        axes = [axis for axis in range(call.x.ndim) if axis != 1]
        variance = widened(call.x).var(axes, unbiased=False)
    else:
        variance = widened(module.running_var)
    scale = (variance + module.eps).rsqrt()
    return scale if call.weight is None else widened(call.weight) * scale
