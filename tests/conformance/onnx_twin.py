"""The same networks as ONNX graphs, with the same weights. Nodes have the names of the layers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.conformance import networks as numpy_net

OPSET = [helper.make_opsetid("", 17)]


def built(network: numpy_net.Network) -> onnx.ModelProto:
    """The graph."""
    dtype = next(iter(network.arrays().values())).dtype
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    nodes, value = [], "x"
    for name, op in network.layers.items():
        source = "x" if isinstance(op, numpy_net.Again) else value
        nodes += (
            _rounding(name, op, source) if isinstance(op, numpy_net.Rounded) else [_node(name, op, source)]
        )
        value = f"{name}_out"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", kind, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info(value, kind, None)],
        [numpy_helper.from_array(array, name) for name, array in network.arrays().items()],
    )
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=9)
    said = {}
    if network.preprocessing is not None:
        said["camscope.preprocessing"] = json.dumps(network.preprocessing.to_dict())
    if network.class_names is not None:
        said["camscope.class_names"] = json.dumps(network.class_names)
    helper.set_model_props(model, said)
    return model


def _rounding(name: str, op: numpy_net.Rounded, source: str) -> list[onnx.NodeProto]:
    step = numpy_helper.from_array(np.array(op.step, np.float32))
    return [
        helper.make_node("Constant", [], [f"{name}_step"], value=step),
        helper.make_node("Div", [source, f"{name}_step"], [f"{name}_steps"]),
        helper.make_node("Round", [f"{name}_steps"], [f"{name}_whole"]),
        helper.make_node("Mul", [f"{name}_whole", f"{name}_step"], [f"{name}_out"], name),
    ]


def _node(name: str, op: Any, source: str) -> onnx.NodeProto:
    weights = [f"{name}.weight", f"{name}.bias"]
    out = [f"{name}_out"]
    match op:
        case numpy_net.Convolution():
            kernel = list(op.weight.shape[2:])
            options = {"kernel_shape": kernel, "strides": [op.stride] * 2, "pads": [op.padding] * 4}
            return helper.make_node("Conv", [source, *weights], out, name, **options)
        case numpy_net.Linear():
            return helper.make_node("Gemm", [source, *weights], out, name, transB=1)
        case numpy_net.MaxPool():
            return helper.make_node("MaxPool", [source], out, name, kernel_shape=[2, 2], strides=[2, 2])
        case numpy_net.Softmax():
            return helper.make_node("Softmax", [source], out, name, axis=1)
    kinds = {
        numpy_net.Again: "Identity",
        numpy_net.Relu: "Relu",
        numpy_net.GlobalMean: "GlobalAveragePool",
        numpy_net.Flatten: "Flatten",
        numpy_net.Sigmoid: "Sigmoid",
    }
    return helper.make_node(kinds[type(op)], [source], out, name)


def state(model: onnx.ModelProto) -> bytes:
    """All of it."""
    return model.SerializeToString(deterministic=True)


def disturb(model: onnx.ModelProto) -> None:
    """Change a parameter."""
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "head.bias")
    bias.CopyFrom(numpy_helper.from_array(np.asarray(numpy_helper.to_array(bias)) + 1, bias.name))
