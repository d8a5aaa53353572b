"""The same networks as Keras models, channels first, with the same weights and layer names."""

from __future__ import annotations

from typing import Any

import keras

from tests.conformance import networks as numpy_net
from tests.keras.conftest import state as state

_FIRST = {"data_format": "channels_first"}


def built(network: numpy_net.Network) -> keras.Model:
    """A functional model, of inputs of any size where its layers are."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(str(next(iter(network.arrays().values())).dtype))
    try:
        return _built(network)
    finally:
        keras.config.set_dtype_policy(before)


def _built(network: numpy_net.Network) -> keras.Model:
    kinds = {type(op) for op in network.layers.values()}
    fixed = numpy_net.Flatten in kinds and numpy_net.GlobalMean not in kinds
    size = numpy_net.SIZE if fixed else None
    x = value = keras.Input((3, size, size))
    filled = []
    for name, op in network.layers.items():
        layer = _layer(op, name)
        value = layer(value, x) if isinstance(op, numpy_net.Again) else layer(value)
        if hasattr(op, "weight"):
            filled.append((layer, op))
    model = keras.Model(x, value)
    for layer, op in filled:
        axes = tuple(range(op.weight.ndim))
        kernel = op.weight.transpose(*axes[2:], 1, 0)
        layer.kernel.assign(kernel)
        layer.bias.assign(op.bias)
    for name in ("preprocessing", "class_names"):
        if getattr(network, name) is not None:
            setattr(model, name, getattr(network, name))
    return model


def _layer(op: Any, name: str) -> Any:
    layers = keras.layers
    match op:
        case numpy_net.Convolution():
            out, _, height, width = op.weight.shape
            return _Convolution(out, (height, width), op.stride, op.padding, name)
        case numpy_net.Linear():
            return layers.Dense(op.weight.shape[0], name=name)
    kinds = {
        numpy_net.Again: lambda: _Again(name=name),
        numpy_net.Relu: lambda: layers.ReLU(name=name),
        numpy_net.MaxPool: lambda: layers.MaxPooling2D(2, name=name, **_FIRST),
        numpy_net.GlobalMean: lambda: layers.GlobalAveragePooling2D(keepdims=True, name=name, **_FIRST),
        numpy_net.Flatten: lambda: layers.Flatten(name=name),
        numpy_net.Softmax: lambda: layers.Softmax(axis=1, name=name),
        numpy_net.Sigmoid: lambda: layers.Activation("sigmoid", name=name),
    }
    return kinds[type(op)]()


class _Again(keras.layers.Layer):
    """Puts out the second of two inputs."""

    def call(self, value: Any, x: Any) -> Any:
        return x


class _Convolution(keras.layers.Conv2D):
    """With the same padding on every side: Keras' own "same" pads unevenly where the stride is 2.

    It is done with channels last inside. On TensorFlow double precision knows no other way, and Keras adds the bias
    along the width where there are as many filters as columns.
    """

    def __init__(self, out: int, size: tuple[int, int], stride: int, padding: int, name: str) -> None:
        super().__init__(out, size, strides=stride, padding="valid", name=name, **_FIRST)
        self.pad = padding

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, channels, *space = input_shape
        padded = (size if size is None else size + 2 * self.pad for size in space)
        return super().compute_output_shape((batch, channels, *padded))

    def call(self, x: Any) -> Any:
        p = self.pad
        ops = keras.ops
        padded = ops.pad(ops.transpose(x, (0, 2, 3, 1)), ((0, 0), (p, p), (p, p), (0, 0)))
        convolved = ops.conv(padded, self.kernel, self.strides, "valid", "channels_last")
        return ops.transpose(convolved + self.bias, (0, 3, 1, 2))


def disturb(model: keras.Model) -> None:
    """Change a parameter."""
    bias = model.get_layer("head").bias
    bias.assign(bias + 1)
