"""Guided gradients (Springenberg et al. 2015): every rectifier lets back only what its input and the gradient allow.

Rectifiers are found by watching the calls of torch's functions, so it does not matter whether the model calls
them as modules, functions or methods, in place or not, and nothing of the model is exchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from torch.overrides import TorchFunctionMode

from camscope.errors import TargetError
from camscope.models.torch.hooks.functions import all_forms, first_operand
from camscope.models.torch.hooks.session import overriding
from camscope.models.torch.precision import widened
from camscope.outputs import Outputs
from camscope.targets import Targets

_RECTIFIERS = all_forms("relu", "relu6")
_SOFT_RECTIFIERS = all_forms(
    "leaky_relu", "rrelu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"
)
_CLAMPS = all_forms("clamp", "clip", "clamp_min")
_HARDTANH = all_forms("hardtanh")
_THRESHOLD = all_forms("threshold")


def guided_gradients(
    model: nn.Module,
    run: Callable[[torch.Tensor], Outputs],
    x: Float[torch.Tensor, "batch channel *size"],
    targets: Targets,
) -> Float[torch.Tensor, "batch target channel *size"]:
    """∂score/∂x, where each rectifier's backward passes only where its input is > 0 and the gradient is > 0.

    Rectifiers are ReLU in every form torch has it (also `clamp(min=0)`, `threshold(0, 0)`, ReLU6 and a hardtanh
    from 0), and the leaky and smooth ones: leaky ReLU, PReLU, ELU, SELU, CELU, GELU, SiLU, Mish, Hardswish. Those
    keep their own slope where they pass. One written out in arithmetic (`x * x.sigmoid()`) is not seen.

    Args:
        model: to be called inside `explaining(model)`: in eval mode, its parameters frozen.
        run: the forward, batch → outputs.
        x: the batch.
        targets: one backward for each.

    Raises:
        TargetError: if the scores do not depend on the input by anything that can be differentiated.
    """
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        with overriding(_GuidedRectifiers()):
            outputs = run(leaf.clone())  # a copy: the first layer may work in place
        scores = targets.scores(outputs)
    if not scores.requires_grad:
        raise TargetError(
            f"The scores of {type(model).__name__} do not depend on its input by anything that can be "
            "differentiated (a detach, an argmax or a no_grad lies between), so there are no guided gradients."
        )
    last = scores.shape[1] - 1
    gradients = [
        torch.autograd.grad(scores[:, t].sum(), leaf, retain_graph=t < last, materialize_grads=True)[0]
        for t in range(last + 1)
    ]
    return widened(torch.stack(gradients, dim=1))


class _GuidedRectifiers(TorchFunctionMode):
    """Puts a hook on each rectifier's output that holds the gradient back where guided backpropagation does."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not _rectifies(func, args, kwargs):
            return func(*args, **kwargs)
        # where the input is positive, which ReLU's own backward looks after; before a call in place
        open_where = None if func in _RECTIFIERS else first_operand(args, kwargs).detach() > 0
        output = func(*args, **kwargs)
        if output.requires_grad:

            def guide(gradient: torch.Tensor) -> torch.Tensor:
                gradient = gradient.clamp(min=0)
                return gradient if open_where is None else gradient * open_where

            output.register_hook(guide)
        return output


def _rectifies(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if func in _RECTIFIERS or func in _SOFT_RECTIFIERS:
        return True
    if func in _CLAMPS:
        low = args[1] if len(args) > 1 else kwargs.get("min")
        return isinstance(low, (int, float)) and low == 0
    if func in _HARDTANH:
        return bool((args[1] if len(args) > 1 else kwargs.get("min_val", -1)) == 0)
    if func in _THRESHOLD:
        given = dict(zip(("input", "threshold", "value"), args, strict=False)) | dict(kwargs)
        return bool(given["threshold"] == 0 and given["value"] == 0)
    return False
