"""Quantised graphs: their whole numbers as real ones, and the head that they round."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from jaxtyping import Float
from onnx import helper

from camscope.models.onnx.onnx_graph import OnnxGraph
from camscope.models.onnx.onnx_model import OnnxModel

_SCALES = {
    "QGemm": 7,
    "QLinearAdd": 6,
    "QLinearAveragePool": 3,
    "QLinearConcat": 0,
    "QLinearConv": 6,
    "QLinearGlobalAveragePool": 3,
    "QLinearLeakyRelu": 3,
    "QLinearMatMul": 6,
    "QLinearMul": 6,
    "QLinearSigmoid": 3,
    "QLinearSoftmax": 3,
}
"""Operators that put out whole numbers, and which of their inputs is the scale of these; their zero follows it."""

_WHOLE = "_camscope_whole"
_AGAIN = "_camscope_again"


def with_real_numbers(model: OnnxModel) -> OnnxModel:
    """The model with what its quantised operators put out there as real numbers too, as layers.

    The whole numbers are made real, and then whole again before they are read, which gives the very same.

    Args:
        model: of any kind; one without such operators stays as it is.
    """
    if not any(node.op_type in _SCALES for node in model.onnx_proto.graph.node):
        return model
    proto = onnx.ModelProto()
    proto.CopyFrom(model.onnx_proto)
    returned = {value.name for value in proto.graph.output}
    nodes = []
    for node in proto.graph.node:
        nodes.append(node)
        place = _SCALES.get(node.op_type)
        made = node.output[0]
        if place is None or len(node.input) <= place + 1 or made in returned:
            continue
        on = [node.input[place], node.input[place + 1]]
        node.output[0] = made + _WHOLE
        nodes.append(helper.make_node("DequantizeLinear", [node.output[0], *on], [made], node.name))
        nodes.append(helper.make_node("QuantizeLinear", [made, *on], [made + _AGAIN]))
        node.name = ""
        for other in proto.graph.node:
            other.input[:] = [made + _AGAIN if name == made else name for name in other.input]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend(copies)
    return replace(model, onnx_proto=proto)


def last_linear(graph: OnnxGraph, scores: str) -> LastLinear | None:
    """The linear operator that the scores come from directly; None if it is of another kind.

    Args:
        graph: of the model.
        scores: the tensor that holds them.
    """
    node = graph.maker(scores)
    if node is None:
        return None
    options = {attribute.name: attribute.i for attribute in node.attribute}
    given = list(node.input)
    match node.op_type:
        case "Gemm" if graph.is_made_of_weights(given[1]):
            return LastLinear(given[1], given[2] if len(given) > 2 else "", bool(options.get("transB")))
        case "MatMul" if graph.is_made_of_weights(given[1]):
            return LastLinear(given[1], "", outputs_first=False)
        case "Add":
            biases = [name for name in given if graph.is_made_of_weights(name)]
            others = [name for name in given if not graph.is_made_of_weights(name)]
            inner = last_linear(graph, others[0]) if len(biases) == len(others) == 1 else None
            return None if inner is None or inner.bias else replace(inner, bias=biases[0])
        case "Conv" if graph.is_made_of_weights(given[1]):
            return LastLinear(given[1], given[2] if len(given) > 2 else "", outputs_first=True)
        case "QGemm":
            first = bool(options.get("transB"))
            return _whole(given[3:6], given[6], given[1], first, axis=0 if first else 1)
        case "QLinearConv":
            return _whole(given[3:6], given[8] if len(given) > 8 else "", given[1], True, axis=0)
        case "QLinearMatMul":
            return _whole(given[3:6], "", given[1], False, axis=1)
    return None


def _whole(weight: list[str], bias: str, scale: str, outputs_first: bool, axis: int) -> LastLinear:
    """Of an operator on whole numbers.

    Args:
        weight: the tensors of its weights, their scale and their zero.
        bias: the tensor of its biases, in units of both scales.
        scale: that of what it reads.
        outputs_first: whether the first axis of the weights is of outputs.
        axis: of the weights along which their scale may vary.
    """
    nodes = [helper.make_node("DequantizeLinear", weight, ["camscope_weight"], axis=axis)]
    if bias:
        nodes += [
            helper.make_node("Cast", [bias], ["camscope_bias_whole"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [scale, weight[1]], ["camscope_bias_scale"]),
            helper.make_node("Mul", ["camscope_bias_whole", "camscope_bias_scale"], ["camscope_bias"]),
        ]
    return LastLinear("camscope_weight", "camscope_bias" if bias else "", outputs_first, tuple(nodes))


@dataclass(frozen=True)
class LastLinear:
    """A linear operator.

    Attributes:
        weight: the tensor of its weights.
        bias: that of its biases; empty if it has none.
        outputs_first: whether the first axis of the weights is of outputs, and not of inputs.
        nodes: that make these tensors of the graph's own.
    """

    weight: str
    bias: str
    outputs_first: bool
    nodes: tuple[onnx.NodeProto, ...] = ()

    def arranged(
        self, weight: np.ndarray, bias: np.ndarray | None
    ) -> tuple[Float[np.ndarray, "output channel"], Float[np.ndarray, " output"]] | None:
        """The weights and biases in the usual order; None if the operator reads more than channels.

        Args:
            weight: as the graph has it.
            bias: likewise; None if there is none.
        """
        if int(np.prod(weight.shape[2:])) != 1 or weight.ndim < 2:
            return None
        matrix = weight.reshape(weight.shape[:2])
        matrix = matrix if self.outputs_first else matrix.T
        return matrix, np.zeros(len(matrix)) if bias is None else bias.reshape(-1)
