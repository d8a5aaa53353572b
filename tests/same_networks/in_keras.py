"""The networks as functional Keras models, channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tests.same_networks import described as d


def built(network: d.Described) -> keras.Model:
    """The model."""
    x = keras.Input((*(None for _ in network.size), 3))
    filled: list[tuple[Any, list[np.ndarray]]] = []

    def apply(name: str, op: d.Op, inputs: list[Any]) -> Any:
        before, layer, weights = _layer(name, op)
        value = before(*inputs)
        value = layer(value) if len(inputs) == 1 else layer([value, *inputs[1:]])
        filled.append((layer, weights))
        return value

    model = keras.Model(x, network.run(apply, x))
    for layer, weights in filled:
        layer.set_weights(weights)
    return model


@keras.saving.register_keras_serializable()
class Function(keras.layers.Layer):
    """A function of the inputs and of parameters."""

    def __init__(self, function: Callable[..., Any], parameters: list[np.ndarray], name: str) -> None:
        super().__init__(name=name)
        self.function = function
        self.parameters = [self.add_weight(one.shape, name=f"w{i}") for i, one in enumerate(parameters)]

    def call(self, inputs: Any) -> Any:
        several = inputs if isinstance(inputs, list) else [inputs]
        return self.function(*several, *self.parameters)


def _attention(x: Any, query: Any, key: Any, value: Any) -> Any:
    ops = keras.ops
    q, k, v = (ops.matmul(x, one) for one in (query, key, value))
    scores = ops.matmul(q, ops.transpose(k, (0, 2, 1))) / q.shape[-1] ** 0.5
    return ops.matmul(ops.softmax(scores, axis=-1), v)


def _mean(x: Any) -> Any:
    return keras.ops.mean(x, axis=tuple(range(1, x.ndim - 1)))


def _tokens(x: Any) -> Any:
    return keras.ops.reshape(x, (keras.ops.shape(x)[0], -1, x.shape[-1]))


def _with_class(x: Any, token: Any) -> Any:
    ops = keras.ops
    return ops.concatenate([ops.broadcast_to(token, (ops.shape(x)[0], *token.shape[1:])), x], axis=1)


def _layer(name: str, op: d.Op) -> tuple[Callable[..., Any], Any, list[np.ndarray]]:
    """What comes before the layer, the layer, and its weights."""
    layers = keras.layers

    def plain(x: Any, *_: Any) -> Any:
        return x

    match op:
        case d.Convolution():
            out, _, *size = op.weight.shape
            one = len(size) == 1
            kind, pad = (
                (layers.Conv1D, layers.ZeroPadding1D) if one else (layers.Conv2D, layers.ZeroPadding2D)
            )
            kernel = op.weight.transpose(*range(2, 2 + len(size)), 1, 0)
            return pad(op.padding), kind(out, size, strides=op.stride, name=name), [kernel, op.bias]
        case d.Linear():
            return plain, layers.Dense(op.weight.shape[0], name=name), [op.weight.T, op.bias]
        case d.LayerNorm():
            return plain, layers.LayerNormalization(epsilon=1e-5, name=name), [op.scale, op.bias]
        case d.Relu():
            return plain, layers.ReLU(name=name), []
        case d.Add():
            return plain, layers.Add(name=name), []
        case d.Tokens():
            return plain, Function(_tokens, [], name), []
        case d.ClassToken():
            return plain, Function(_with_class, [op.value], name), [op.value]
        case d.Attention():
            weights = [op.query, op.key, op.value]
            return plain, Function(_attention, weights, name), weights
        case d.FirstToken():
            return plain, Function(lambda x: x[:, 0], [], name), []
        case d.Mean():
            return plain, Function(_mean, [], name), []
