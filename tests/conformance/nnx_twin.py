"""The same networks as Flax NNX modules, with the same weights: channels first outside, channels last inside."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.conformance import networks as numpy_net


class InOrder(nnx.Module):
    """Layers as attributes, called in order. It draws random numbers for a dropout that does nothing in evaluation."""

    def __init__(self, layers: dict[str, nnx.Module]) -> None:
        self.order = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        given = value = jnp.moveaxis(x, 1, -1)
        for name in self.order:
            layer = getattr(self, name)
            value = layer(given if isinstance(layer, Again) else value)
        value = self.dropout(value)
        return jnp.moveaxis(value, -1, 1) if value.ndim == 4 else value


class Relu(nnx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(x)


class MaxPool2d(nnx.Module):
    """A pooling by the name of its class, as NNX itself has none."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.max_pool(x, (2, 2), strides=(2, 2))


class Again(nnx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return x + 0


class GlobalMean(nnx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return x.mean((1, 2), keepdims=True)


class Flatten(nnx.Module):
    """In the order of channels first."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.moveaxis(x, -1, 1).reshape(x.shape[0], -1)


class Softmax(nnx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.softmax(x)


class Sigmoid(nnx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.sigmoid(x)


def built(network: numpy_net.Network) -> nnx.Module:
    """The module, in training mode, as NNX makes it."""
    double = any(value.dtype == np.float64 for value in network.arrays().values())
    with jax.enable_x64(double):
        model = InOrder({name: _module(op) for name, op in network.layers.items()})
    for name in ("preprocessing", "class_names"):
        if getattr(network, name) is not None:
            setattr(model, name, getattr(network, name))
    return model


def _module(op: Any) -> nnx.Module:
    match op:
        case numpy_net.Convolution():
            out, n_in, *size = op.weight.shape
            padding = [(op.padding, op.padding)] * 2
            layer = nnx.Conv(n_in, out, size, op.stride, padding=padding, rngs=nnx.Rngs(0))
            return _filled(layer, op.weight.transpose(2, 3, 1, 0), op.bias)
        case numpy_net.Linear():
            layer = nnx.Linear(op.weight.shape[1], op.weight.shape[0], rngs=nnx.Rngs(0))
            return _filled(layer, op.weight.T, op.bias)
    kinds = {
        numpy_net.Again: Again,
        numpy_net.Relu: Relu,
        numpy_net.MaxPool: MaxPool2d,
        numpy_net.GlobalMean: GlobalMean,
        numpy_net.Flatten: Flatten,
        numpy_net.Softmax: Softmax,
        numpy_net.Sigmoid: Sigmoid,
    }
    return kinds[type(op)]()


def _filled(layer: Any, kernel: np.ndarray, bias: np.ndarray) -> nnx.Module:
    layer.kernel.set_value(jnp.asarray(kernel))
    layer.bias.set_value(jnp.asarray(bias))
    return layer


def state(model: nnx.Module) -> dict[str, Any]:
    """All that could be seen to differ afterwards: numbers, keys, counts, classes, modes and attributes."""
    modules = {path: inner for path, inner in nnx.iter_graph(model) if isinstance(inner, nnx.Module)}
    flat = nnx.to_flat_state(nnx.state(model))
    return {
        "values": {path: np.asarray(_numbers(v.get_value())).tobytes() for path, v in flat},
        "identities": {path: id(v.get_value()) for path, v in flat},
        "classes": {path: type(inner) for path, inner in modules.items()},
        "modes": {
            path: (getattr(inner, "deterministic", None), getattr(inner, "use_running_average", None))
            for path, inner in modules.items()
        },
        "attributes": {path: sorted(vars(inner)) for path, inner in modules.items()},
    }


def _numbers(value: Any) -> Any:
    return jax.random.key_data(value) if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else value


def disturb(model: nnx.Module) -> None:
    """Change a parameter."""
    model.head.bias.set_value(model.head.bias.get_value() + 1)
