"""Parts of a graph as graphs of their own: up to some tensors, or from one tensor on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from camscope.models.onnx.onnx_graph import OnnxGraph

BATCH = "camscope_batch"
"""The name of the batch axis, which may have any size."""


@dataclass(frozen=True)
class Cut:
    """The part of a graph that depends on one tensor.

    Attributes:
        tensor: at which it begins.
        outputs: those of the wanted tensors that depend on it.
        beside: those that do not.
        kept: tensors that it reads and that are made beside it, from numbers of the input.
        shapes: nodes that read the shape of what is made beside it: their outputs are given to it too.
        nodes: it consists of, in order.
    """

    tensor: str
    outputs: tuple[str, ...]
    beside: tuple[str, ...]
    kept: tuple[str, ...]
    shapes: tuple[onnx.NodeProto, ...]
    nodes: tuple[onnx.NodeProto, ...]

    @property
    def measured(self) -> tuple[str, ...]:
        """The tensors whose shape is read."""
        return tuple(dict.fromkeys(node.input[0] for node in self.shapes))


def cut_after(graph: OnnxGraph, tensor: str, wanted: Sequence[str]) -> Cut:
    """The part after a tensor.

    What is made beside it is kept as it is, so nothing runs that does not depend on the tensor; but numbers that only
    follow from a shape are made anew, since a part may be run on another number of rows.

    Args:
        graph: the whole.
        tensor: at which the part begins.
        wanted: the tensors it is to put out.
    """
    below = graph.below(tensor)
    outputs = tuple(name for name in wanted if name in below)
    open_, done = [name for name in outputs if name != tensor], {tensor, ""}
    kept: list[str] = []
    shapes: list[onnx.NodeProto] = []
    chosen: set[int] = set()
    while open_:
        name = open_.pop()
        if name in done or name in graph.weights:
            continue
        done.add(name)
        if name not in below and name in graph.of_input:
            kept.append(name)
            continue
        node = graph.made_by[name]
        if node.op_type == "Shape" and node.input[0] not in below and node.input[0] in graph.of_input:
            shapes.append(node)
            continue
        chosen.add(id(node))
        open_ += node.input
    nodes = tuple(node for node in graph.proto.node if id(node) in chosen)
    beside = tuple(name for name in wanted if name not in below)
    return Cut(tensor, outputs, beside, tuple(kept), tuple(shapes), nodes)


def up_to(graph: OnnxGraph, tensors: Iterable[str], extra: Sequence[onnx.NodeProto] = ()) -> onnx.ModelProto:
    """The graph from its inputs to some tensors, for any number of rows.

    Args:
        graph: the whole.
        tensors: that it is to put out.
        extra: nodes to add at its end.
    """
    outputs = list(dict.fromkeys(tensors))
    made = {name for node in extra for name in node.output}
    wanted = [name for name in outputs if name not in made] + [
        name for node in extra for name in node.input if name and name not in made
    ]
    inputs = []
    for value in graph.inputs.values():
        copy = onnx.ValueInfoProto()
        copy.CopyFrom(value)
        shape = copy.type.tensor_type.shape
        if shape.dim:
            shape.dim[0].dim_param = BATCH
        inputs.append(copy)
    return _model(graph, [*graph.leading_to(wanted), *extra], inputs, outputs)


def part_of(
    graph: OnnxGraph, cut: Cut, types: Mapping[str, np.dtype], extra: Sequence[onnx.NodeProto] = ()
) -> onnx.ModelProto:
    """A part as a model, whose inputs are the tensor it begins at, then what is kept, then the shapes.

    Args:
        graph: the whole.
        cut: the part.
        types: of the tensor it begins at, and of those that are kept.
        extra: nodes to add at its end, whose inputs it makes.
    """
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(types[name]), None)
        for name in (cut.tensor, *cut.kept)
    ] + [helper.make_tensor_value_info(node.output[0], onnx.TensorProto.INT64, [None]) for node in cut.shapes]
    return _model(graph, [*cut.nodes, *extra], inputs, list(cut.outputs))


def _model(
    graph: OnnxGraph,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Collection[str],
) -> onnx.ModelProto:
    whole = graph.model.onnx_proto
    read = {name for node in nodes for name in node.input} | set(outputs)
    model = helper.make_model(
        helper.make_graph(
            nodes,
            graph.proto.name or "graph",
            inputs,
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [tensor for name, tensor in graph.weights.items() if name in read],
            sparse_initializer=[one for one in graph.proto.sparse_initializer if one.values.name in read],
        ),
        opset_imports=whole.opset_import,
    )
    model.ir_version = whole.ir_version
    return model
