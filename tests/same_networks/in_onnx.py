"""The networks as ONNX graphs. A step of several nodes ends in the one that has its name."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.same_networks import described as d


def built(network: d.Described) -> onnx.ModelProto:
    """The graph, of any number of inputs."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def node(kind: str, inputs: list[str], out: str, **options: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"{out}_out"], out, **options))
        return f"{out}_out"

    def apply(name: str, op: d.Op, inputs: list[str]) -> str:
        (x, *_) = inputs
        match op:
            case d.Convolution():
                size = list(op.weight.shape[2:])
                options = {"strides": [op.stride] * len(size), "pads": [op.padding] * (2 * len(size))}
                weights = [constant(f"{name}.weight", op.weight), constant(f"{name}.bias", op.bias)]
                return node("Conv", [x, *weights], name, kernel_shape=size, **options)
            case d.Linear():
                weights = [constant(f"{name}.weight", op.weight), constant(f"{name}.bias", op.bias)]
                return node("Gemm", [x, *weights], name, transB=1)
            case d.Relu():
                return node("Relu", inputs, name)
            case d.Add():
                return node("Add", inputs, name)
            case d.Mean():
                pooled = node("GlobalAveragePool", inputs, f"{name}_each")
                return node("Flatten", [pooled], name)
            case d.Tokens():
                shape = constant(f"{name}.shape", np.array([0, 0, -1]))
                flat = node("Reshape", [x, shape], f"{name}_flat")
                return node("Transpose", [flat], name, perm=[0, 2, 1])
            case d.ClassToken():
                token = constant(f"{name}.token", op.value)
                one = constant(f"{name}.one", np.array([1, 1], np.int64))
                count = node("Shape", [x], f"{name}_count", start=0, end=1)
                shape = node("Concat", [count, one], f"{name}_shape", axis=0)
                return node("Concat", [node("Expand", [token, shape], f"{name}_each"), x], name, axis=1)
            case d.LayerNorm():
                weights = [constant(f"{name}.scale", op.scale), constant(f"{name}.bias", op.bias)]
                return node("LayerNormalization", [x, *weights], name, axis=-1, epsilon=1e-5)
            case d.Attention():
                parts = {"q": op.query, "k": op.key, "v": op.value}
                q, k, v = (
                    node("MatMul", [x, constant(f"{name}.{part}", value)], f"{name}_{part}")
                    for part, value in parts.items()
                )
                scale = constant(f"{name}.scale", np.array(op.query.shape[1] ** -0.5, np.float32))
                turned = node("Transpose", [k], f"{name}_turned", perm=[0, 2, 1])
                scores = node("Mul", [node("MatMul", [q, turned], f"{name}_qk"), scale], f"{name}_scores")
                return node("MatMul", [node("Softmax", [scores], f"{name}_softmax", axis=-1), v], name)
            case d.FirstToken():
                return node("Gather", [x, constant(f"{name}.first", np.array(0))], name, axis=1)

    out = network.run(apply, "x")
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, *network.size])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["batch", d.CLASSES])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
