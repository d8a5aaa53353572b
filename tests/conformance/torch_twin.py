"""The same networks as `torch.nn.Module`s, with the same weights."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from tests.conformance import networks as numpy_net


class _Sequential(nn.Sequential):
    """In order; an identity, which stands for `Again`, takes the network's input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = x
        for module in self:
            value = module(x if isinstance(module, nn.Identity) else value)
        return value


def built(network: numpy_net.Network) -> nn.Module:
    """The module, in evaluation mode."""
    model = _Sequential(OrderedDict((name, _module(op)) for name, op in network.layers.items()))
    for name in ("preprocessing", "class_names"):
        if getattr(network, name) is not None:
            setattr(model, name, getattr(network, name))
    return model.eval()


def _module(op: Any) -> nn.Module:
    match op:
        case numpy_net.Convolution():
            out, n_in, height, width = op.weight.shape
            return _filled(nn.Conv2d(n_in, out, (height, width), op.stride, op.padding), op)
        case numpy_net.Linear():
            return _filled(nn.Linear(op.weight.shape[1], op.weight.shape[0]), op)
    kinds = {
        numpy_net.Again: nn.Identity,
        numpy_net.Relu: nn.ReLU,
        numpy_net.MaxPool: lambda: nn.MaxPool2d(2),
        numpy_net.GlobalMean: lambda: nn.AdaptiveAvgPool2d(1),
        numpy_net.Flatten: nn.Flatten,
        numpy_net.Softmax: lambda: nn.Softmax(1),
        numpy_net.Sigmoid: nn.Sigmoid,
    }
    return kinds[type(op)]()


def _filled(module: nn.Module, op: Any) -> nn.Module:
    module.weight = nn.Parameter(torch.from_numpy(op.weight.copy()))
    module.bias = nn.Parameter(torch.from_numpy(op.bias.copy()))
    return module


def state(model: nn.Module) -> dict[str, Any]:
    """All that could be seen to differ afterwards."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "values": {name: p.detach().numpy().tobytes() for name, p in model.state_dict().items()},
        "identities": {name: id(p) for name, p in model.named_parameters()},
        "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
        "gradients": {name: p.grad for name, p in model.named_parameters()},
        "training": {name: m.training for name, m in model.named_modules()},
        "attributes": {name: sorted(vars(m)) for name, m in model.named_modules()},
        "hooks": {name: [len(getattr(m, kind)) for kind in hooks] for name, m in model.named_modules()},
        "random state": torch.get_rng_state().numpy().tobytes(),
    }


def disturb(model: nn.Module) -> None:
    """Change a parameter."""
    with torch.no_grad():
        model.head.bias += 1
