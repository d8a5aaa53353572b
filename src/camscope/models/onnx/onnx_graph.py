"""What is told by a graph alone: which tensors depend on which, and the names of its layers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import onnx

from camscope.models.onnx.onnx_model import OnnxModel
from camscope.models.runtime import Part

POOLING = frozenset(
    {
        "AveragePool",
        "GlobalAveragePool",
        "GlobalLpPool",
        "GlobalMaxPool",
        "LpPool",
        "MaxPool",
        "ReduceMax",
        "ReduceMean",
    }
)
"""Operators that only pool."""

_LAYERS = frozenset(
    {
        *POOLING,
        "Add",
        "Attention",
        "BatchNormalization",
        "Celu",
        "Clip",
        "Concat",
        "Conv",
        "ConvTranspose",
        "Elu",
        "GRU",
        "Gelu",
        "Gemm",
        "GroupNormalization",
        "HardSigmoid",
        "HardSwish",
        "InstanceNormalization",
        "LRN",
        "LSTM",
        "LayerNormalization",
        "LeakyRelu",
        "MatMul",
        "Mish",
        "MultiHeadAttention",
        "PRelu",
        "RNN",
        "Relu",
        "Selu",
        "SkipLayerNormalization",
        "Softmax",
        "Softplus",
        "Upsample",
        "Resize",
    }
)
"""Operators that people call layers. Others mostly write one out (a GELU, a squeeze), or move numbers about."""

_KEEP_AXES = frozenset(
    {
        "Abs",
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Celu",
        "Clip",
        "Conv",
        "ConvTranspose",
        "DequantizeLinear",
        "Div",
        "Dropout",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "GroupNormalization",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "InstanceNormalization",
        "LRN",
        "LeakyRelu",
        "LpPool",
        "MaxPool",
        "Mish",
        "Mul",
        "Neg",
        "PRelu",
        "Pow",
        "Relu",
        "Resize",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Tanh",
        "ThresholdedRelu",
        "Upsample",
    }
)
"""Operators that keep the axes of space as they are."""

_NO_ARRAYS = frozenset(
    {
        "ConcatFromSequence",
        "Optional",
        "OptionalGetElement",
        "OptionalHasElement",
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceErase",
        "SequenceInsert",
        "SequenceMap",
        "SplitToSequence",
        "StringNormalizer",
        "TfIdfVectorizer",
        "ZipMap",
    }
)
"""Operators that put out no array of numbers, or whose output is no layer's."""

_PASSES_ON = frozenset(
    {
        "Cast",
        "DequantizeLinear",
        "Dropout",
        "Flatten",
        "Identity",
        "QuantizeLinear",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
    }
)
"""Operators that put out the numbers they are given, rounded at most, in another shape or precision."""

_NUMBER = re.compile(r"n?[\d_]*")
"""Names of nodes that say nothing: none at all, or one like `n4_33`, as PyTorch's exporter gives."""


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A graph, indexed.

    Attributes:
        model: that it is of.
    """

    model: OnnxModel
    _below: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)

    @property
    def proto(self) -> onnx.GraphProto:
        """The graph as ONNX has it."""
        return self.model.onnx_proto.graph

    @cached_property
    def weights(self) -> Mapping[str, onnx.TensorProto]:
        """The initialisers by name."""
        return {tensor.name: tensor for tensor in self.proto.initializer}

    @cached_property
    def inputs(self) -> Mapping[str, onnx.ValueInfoProto]:
        """What the model is called with, in order. Old files list their weights among the inputs."""
        return {value.name: value for value in self.proto.input if value.name not in self.weights}

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The names of what the model returns."""
        return tuple(value.name for value in self.proto.output)

    @cached_property
    def made_by(self) -> Mapping[str, onnx.NodeProto]:
        """The node that puts out a tensor."""
        return {name: node for node in self.proto.node for name in node.output if name}

    @cached_property
    def of_input(self) -> frozenset[str]:
        """The tensors that depend on numbers of the input; not those that depend on its shape alone."""
        return frozenset(self.inputs) | self._reached(self.inputs, through_shapes=False)

    @cached_property
    def of_shape(self) -> frozenset[str]:
        """The tensors that depend on the input by its shape alone."""
        return self._reached(self.inputs, through_shapes=True) - self.of_input

    @cached_property
    def is_quantised(self) -> bool:
        """Whether some of its tensors are rounded to whole numbers on a scale."""
        return any(node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear") for node in self.proto.node)

    def below(self, tensor: str) -> frozenset[str]:
        """The tensor and all that depend on it, also by its shape."""
        if tensor not in self._below:
            self._below[tensor] = self._reached([tensor], through_shapes=True) | {tensor}
        return self._below[tensor]

    def _reached(self, start: Iterable[str], *, through_shapes: bool) -> frozenset[str]:
        reached = set(start)
        for node in self.proto.node:
            if not through_shapes and node.op_type in ("Shape", "Size"):
                continue
            if any(name in reached for name in node.input):
                reached.update(name for name in node.output if name)
        return frozenset(reached)

    def leading_to(self, tensors: Collection[str], without: Collection[str] = ()) -> list[onnx.NodeProto]:
        """The nodes that make some tensors, in the graph's order.

        Args:
            tensors: their names.
            without: tensors that are given: what makes these is left out.
        """
        wanted, nodes = set(tensors) - set(without), []
        for node in reversed(self.proto.node):
            if any(name in wanted for name in node.output):
                nodes.append(node)
                wanted.update(name for name in node.input if name and name not in without)
        return nodes[::-1]

    def maker(self, tensor: str) -> onnx.NodeProto | None:
        """The node that made the numbers of a tensor, which others may have passed on; None of an input or a weight."""
        node = self.made_by.get(tensor)
        while node is not None and node.op_type in _PASSES_ON:
            node = self.made_by.get(node.input[0])
        return node

    def is_made_of_weights(self, tensor: str) -> bool:
        """Whether a tensor does not depend on the input at all."""
        return tensor not in self.of_input and tensor not in self.of_shape

    # ------------------------------------------------------------------ layers

    @cached_property
    def layers(self) -> Mapping[str, onnx.NodeProto]:
        """The nodes that could be layers, by name, in order.

        A layer has the name of its node, as viewers show it; where that is missing, a mere number, or not its own
        alone, the name of what it puts out.
        """
        counts = Counter(node.name for node in self.proto.node)
        found = {}
        for node in self.proto.node:
            made = next((name for name in node.output if name), "")
            if made not in self.of_input or node.op_type in _NO_ARRAYS:
                continue
            own = counts[node.name] == 1 and self.made_by.get(node.name, node) is node
            found[node.name if own and not _NUMBER.fullmatch(node.name) else made] = node
        return found

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The layer that puts out a tensor, by the name of the tensor."""
        return {tensor_of(node): name for name, node in self.layers.items()}

    def parts(self) -> list[Part]:
        """All layers."""
        found = []
        for name, node in self.layers.items():
            kind = self._kind(node)
            plain = "Gemm" if kind == "QGemm" else kind.removeprefix("QLinear")
            keeps = plain in _KEEP_AXES
            found.append(Part(name, kind, plain in _LAYERS, keeps_axes=keeps, pools=plain in POOLING))
        return found

    def attention_layers(self) -> list[str]:
        """The softmaxes that are over tokens: their output is multiplied with the tokens' values."""
        passes = {"Cast", "Dropout", "Identity", "Reshape"}
        found, weights = [], dict[str, str]()  # tensors that hold a softmax's output, and its layer
        for name, node in self.layers.items():
            if node.op_type == "Softmax":
                weights[tensor_of(node)] = name
            elif node.op_type in passes and node.input[0] in weights:
                weights[tensor_of(node)] = weights[node.input[0]]
            elif node.op_type == "MatMul" and node.input[0] in weights and node.input[1] in self.of_input:
                found.append(weights[node.input[0]])
        return found

    def _kind(self, node: onnx.NodeProto) -> str:
        """Its operator; of what only makes another's whole numbers real, the other's."""
        before = self.made_by.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        quantised = before is not None and before.op_type.startswith(("QLinear", "QGemm"))
        kind: str = before.op_type if before is not None and quantised else node.op_type
        return kind


def tensor_of(node: onnx.NodeProto) -> str:
    """The name of what a node puts out; of several, the first."""
    first: str = next(name for name in node.output if name)
    return first
