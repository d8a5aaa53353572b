"""The networks as `torch.nn.Module`s."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.same_networks import described as d


def built(network: d.Described) -> nn.Module:
    """The module, in evaluation mode."""
    return _Steps(network).eval()


class _Steps(nn.Module):
    def __init__(self, network: d.Described) -> None:
        super().__init__()
        self._network = network
        for name, step in network.steps.items():
            self.add_module(name, _module(step.op))

    def forward(self, x: torch.Tensor) -> Any:
        return self._network.run(lambda name, op, inputs: getattr(self, name)(*inputs), x)


class _Function(nn.Module):
    """A function of the inputs and of parameters."""

    def __init__(self, function: Any, *parameters: Any) -> None:
        super().__init__()
        self._function = function
        self._parameters_in_order = nn.ParameterList(torch.from_numpy(p.copy()) for p in parameters)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self._function(*inputs, *self._parameters_in_order)


def _attention(x: Any, query: Any, key: Any, value: Any) -> Any:
    q, k, v = x @ query, x @ key, x @ value
    return torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, -1) @ v


def _module(op: d.Op) -> nn.Module:
    match op:
        case d.Convolution():
            out, n_in, *size = op.weight.shape
            kind = (nn.Conv1d, nn.Conv2d)[len(size) - 1]
            return _filled(kind(n_in, out, tuple(size), op.stride, op.padding), op.weight, op.bias)
        case d.Linear():
            return _filled(nn.Linear(*op.weight.shape[::-1]), op.weight, op.bias)
        case d.LayerNorm():
            return _filled(nn.LayerNorm(len(op.scale)), op.scale, op.bias)
        case d.Relu():
            return nn.ReLU()
        case d.Add():
            return _Function(lambda a, b: a + b)
        case d.Mean():
            return _Function(lambda x: x.flatten(2).mean(2))
        case d.Tokens():
            return _Function(lambda x: x.flatten(2).transpose(1, 2))
        case d.ClassToken():
            return _Function(lambda x, token: torch.cat([token.expand(len(x), -1, -1), x], 1), op.value)
        case d.Attention():
            return _Function(_attention, op.query, op.key, op.value)
        case d.FirstToken():
            return _Function(lambda x: x[:, 0])


def _filled(module: Any, weight: Any, bias: Any) -> nn.Module:
    module.weight = nn.Parameter(torch.from_numpy(weight.copy()))
    module.bias = nn.Parameter(torch.from_numpy(bias.copy()))
    return module
