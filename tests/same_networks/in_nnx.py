"""The networks as Flax NNX modules, channels last."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from tests.same_networks import described as d


def built(network: d.Described) -> nnx.Module:
    """The module."""
    return _Steps(network)


class _Steps(nnx.Module):
    def __init__(self, network: d.Described) -> None:
        self.network = nnx.static(network)
        for name, step in network.steps.items():
            setattr(self, name, _module(step.op))

    def __call__(self, x: jax.Array) -> Any:
        return self.network.run(lambda name, op, inputs: getattr(self, name)(*inputs), x)


class Function(nnx.Module):
    """A function of the inputs and of parameters."""

    def __init__(self, function: Any, *parameters: Any) -> None:
        self.function = function
        self.weights = nnx.List([nnx.Param(jnp.asarray(one)) for one in parameters])

    def __call__(self, *inputs: jax.Array) -> jax.Array:
        return self.function(*inputs, *(one.get_value() for one in self.weights))


def _attention(x: Any, query: Any, key: Any, value: Any) -> Any:
    q, k, v = x @ query, x @ key, x @ value
    return jax.nn.softmax(q @ k.swapaxes(1, 2) / q.shape[-1] ** 0.5, -1) @ v


def _with_class(x: Any, token: Any) -> Any:
    return jnp.concatenate([jnp.broadcast_to(token, (len(x), *token.shape[1:])), x], 1)


def _module(op: d.Op) -> nnx.Module:
    rngs = nnx.Rngs(0)
    match op:
        case d.Convolution():
            out, n_in, *size = op.weight.shape
            padding = [(op.padding, op.padding)] * len(size)
            layer = nnx.Conv(n_in, out, size, op.stride, padding=padding, rngs=rngs)
            return _filled(layer, kernel=op.weight.transpose(*range(2, 2 + len(size)), 1, 0), bias=op.bias)
        case d.Linear():
            return _filled(nnx.Linear(*op.weight.shape[::-1], rngs=rngs), kernel=op.weight.T, bias=op.bias)
        case d.LayerNorm():
            return _filled(
                nnx.LayerNorm(len(op.scale), epsilon=1e-5, rngs=rngs), scale=op.scale, bias=op.bias
            )
        case d.Relu():
            return Function(nnx.relu)
        case d.Add():
            return Function(jnp.add)
        case d.Mean():
            return Function(lambda x: x.mean(tuple(range(1, x.ndim - 1))))
        case d.Tokens():
            return Function(lambda x: x.reshape(len(x), -1, x.shape[-1]))
        case d.ClassToken():
            return Function(_with_class, op.value)
        case d.Attention():
            return Function(_attention, op.query, op.key, op.value)
        case d.FirstToken():
            return Function(lambda x: x[:, 0])


def _filled(layer: Any, **values: Any) -> nnx.Module:
    for name, value in values.items():
        getattr(layer, name).set_value(jnp.asarray(value))
    return layer
