"""The same networks as Equinox modules, with the same weights. They take one example."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tests.conformance import networks as numpy_net


class Relu(eqx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(x)


class Again(eqx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return x + 0


class GlobalMean(eqx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return x.mean((1, 2), keepdims=True)


class Flatten(eqx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return x.reshape(-1)


class Softmax(eqx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.softmax(x)


class Sigmoid(eqx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(x)


def built(network: numpy_net.Network) -> eqx.Module:
    """The module, whose dropout would draw random numbers."""
    double = any(value.dtype == np.float64 for value in network.arrays().values())
    with jax.enable_x64(double):
        layers = {name: _module(op) for name, op in network.layers.items()}
    model = _in_order(tuple(layers))(layers)
    for name in ("preprocessing", "class_names"):
        if getattr(network, name) is not None:
            object.__setattr__(model, name, getattr(network, name))
    return model


def _in_order(names: tuple[str, ...]) -> type[eqx.Module]:
    """The class of a module with these layers as attributes, called in order."""

    def init(self: Any, layers: dict[str, eqx.Module]) -> None:
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.dropout = eqx.nn.Dropout(0.5)

    def call(self: Any, x: jax.Array) -> jax.Array:
        value = x
        for name in names:
            layer = getattr(self, name)
            value = layer(x if isinstance(layer, Again) else value)
        return self.dropout(value)

    fields = dict.fromkeys((*names, "dropout"), eqx.Module)
    body = {"__annotations__": fields, "__init__": init, "__call__": call, "__module__": __name__}
    return type(eqx.Module)("InOrder", (eqx.Module,), body)


def _module(op: Any) -> eqx.Module:
    key = jax.random.key(0)
    match op:
        case numpy_net.Convolution():
            out, n_in, *size = op.weight.shape
            layer = eqx.nn.Conv2d(n_in, out, size, op.stride, op.padding, key=key)
            return _filled(layer, op.weight, op.bias.reshape(-1, 1, 1))
        case numpy_net.Linear():
            return _filled(eqx.nn.Linear(*op.weight.shape[::-1], key=key), op.weight, op.bias)
        case numpy_net.MaxPool():
            return eqx.nn.MaxPool2d(2, 2)
    kinds = {
        numpy_net.Again: Again,
        numpy_net.Relu: Relu,
        numpy_net.GlobalMean: GlobalMean,
        numpy_net.Flatten: Flatten,
        numpy_net.Softmax: Softmax,
        numpy_net.Sigmoid: Sigmoid,
    }
    return kinds[type(op)]()


def _filled(layer: Any, weight: np.ndarray, bias: np.ndarray) -> eqx.Module:
    return eqx.tree_at(lambda one: (one.weight, one.bias), layer, (jnp.asarray(weight), jnp.asarray(bias)))


def state(model: eqx.Module) -> dict[str, Any]:
    """All that could be seen to differ afterwards: numbers, classes and what is no array."""
    arrays, static = eqx.partition(model, eqx.is_array)
    named = jax.tree_util.tree_leaves_with_path(arrays)
    return {
        "values": {jax.tree_util.keystr(path): np.asarray(value).tobytes() for path, value in named},
        "identities": {jax.tree_util.keystr(path): id(value) for path, value in named},
        "others": (jax.tree_util.tree_leaves(static), jax.tree_util.tree_structure(static)),
        "attributes": sorted(vars(model)),
        "classes": [type(value) for value in vars(model).values()],
    }


def disturb(model: Any) -> None:
    """Change a parameter, which Equinox does not mean to be done."""
    object.__setattr__(model.head, "bias", model.head.bias + 1)
