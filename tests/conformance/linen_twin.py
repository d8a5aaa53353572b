"""The same networks as Flax linen modules bound to the same weights: channels last inside, as in NNX."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from tests.conformance import networks as numpy_net


class Relu(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.relu(x)


class MaxPool2d(nn.Module):
    """A pooling by the name of its class, as linen itself has none."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.max_pool(x, (2, 2), strides=(2, 2))


class Again(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return x + 0


class GlobalMean(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return x.mean((1, 2), keepdims=True)


class Flatten(nn.Module):
    """In the order of channels first."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.moveaxis(x, -1, 1).reshape(x.shape[0], -1)


class Softmax(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.softmax(x)


class Sigmoid(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.sigmoid(x)


class InOrder(nn.Module):
    """Layers by name, called in order; each is its class and what that is made with."""

    layers: tuple[tuple[str, type[nn.Module], tuple[tuple[str, Any], ...]], ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        given = value = jnp.moveaxis(x, 1, -1)
        for name, kind, options in self.layers:
            layer = kind(**dict(options), name=name)
            value = layer(given if kind is Again else value)
        return jnp.moveaxis(value, -1, 1) if value.ndim == 4 else value


def built(network: numpy_net.Network) -> nn.Module:
    """The module, bound to its variables."""
    variables = {name: _arrays(op) for name, op in network.layers.items() if hasattr(op, "weight")}
    layers = tuple((name, *_module(op)) for name, op in network.layers.items())
    model = InOrder(layers).bind({"params": variables})
    for name in ("preprocessing", "class_names"):
        if getattr(network, name) is not None:
            object.__setattr__(model, name, getattr(network, name))
    return model


def _arrays(op: Any) -> dict[str, np.ndarray]:
    axes = (2, 3, 1, 0) if op.weight.ndim == 4 else (1, 0)
    return {"kernel": op.weight.transpose(axes).copy(), "bias": op.bias.copy()}


def _module(op: Any) -> tuple[type[nn.Module], tuple[tuple[str, Any], ...]]:
    match op:
        case numpy_net.Convolution():
            out, _, *size = op.weight.shape
            padding = ((op.padding, op.padding),) * 2
            options = {"features": out, "kernel_size": tuple(size), "strides": op.stride, "padding": padding}
            return nn.Conv, tuple(options.items())
        case numpy_net.Linear():
            return nn.Dense, (("features", op.weight.shape[0]),)
    kinds = {
        numpy_net.Again: Again,
        numpy_net.Relu: Relu,
        numpy_net.MaxPool: MaxPool2d,
        numpy_net.GlobalMean: GlobalMean,
        numpy_net.Flatten: Flatten,
        numpy_net.Softmax: Softmax,
        numpy_net.Sigmoid: Sigmoid,
    }
    return kinds[type(op)], ()


def state(model: nn.Module) -> dict[str, Any]:
    """Its variables, and how it is made."""
    leaves = jax.tree_util.tree_leaves_with_path(model.variables)
    return {
        "values": {jax.tree_util.keystr(path): np.asarray(value).tobytes() for path, value in leaves},
        "layers": model.layers,
        "attributes": sorted(
            vars(model).keys() - {"_compact_name_scope_modules"}
        ),  # Flax's own, from any call
    }


def disturb(model: nn.Module) -> None:
    """Change a parameter."""
    model.variables["params"]["head"]["bias"] += 1
