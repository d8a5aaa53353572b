"""Whether a model is as it was: weights, flags, gradients, hooks, output, and PyTorch's random state."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Before:
    """What a model is before something is done with it.

    Args:
        model: any module.
        x: an input.
    """

    def __init__(self, model: nn.Module, x: torch.Tensor) -> None:
        self._model, self._x, self._same = model, x, x.clone()
        self._state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self._flags, self._gradients, self._hooks = self._now()
        self._random = torch.random.get_rng_state()

    def changes(self) -> list[str]:
        """What is otherwise now, in words."""
        found = [
            f"the weight {name}"
            for name, tensor in self._model.state_dict().items()
            if not torch.equal(tensor, self._state[name])
        ]
        flags, gradients, hooks = self._now()
        found += ["flags"] * (flags != self._flags) + ["hooks or forwards"] * (hooks != self._hooks)
        same = all(a is b for a, b in zip(gradients, self._gradients, strict=True))
        found += ["gradients"] * (not same) + ["the input"] * (not torch.equal(self._x, self._same))
        return found + ["the random state"] * (not torch.equal(torch.random.get_rng_state(), self._random))

    def _now(self) -> tuple[Any, list[Any], Any]:
        modules, parameters = dict(self._model.named_modules()), dict(self._model.named_parameters())
        flags = (
            [module.training for module in modules.values()],
            [p.requires_grad for p in parameters.values()],
        )
        hooks = [
            ("forward" in vars(module), *(tuple(getattr(module, kind)) for kind in _HOOKS))
            for module in modules.values()
        ]
        return flags, [p.grad for p in parameters.values()], hooks
