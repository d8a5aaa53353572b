"""Small ONNX graphs for these tests, built by hand; and what they compute, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.models.onnx.onnx_model import model_of
from camscope.models.onnx.onnx_runtime import OnnxRuntime

RNG = np.random.default_rng(0)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    """Random weights whose sums are of order one."""
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    values = np.random.default_rng([seed, *shape]).standard_normal(shape) / np.sqrt(fan_in)
    return values.astype(np.float32)


def random_x(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def graph(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
    x: Sequence[Any] | Mapping[str, tuple[int, Sequence[Any]]],
    outputs: Sequence[str],
    *,
    opset: int = 17,
    output_kind: int = onnx.TensorProto.FLOAT,
    metadata: Mapping[str, str] | None = None,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model.

    Args:
        nodes: in order.
        constants: its initialisers.
        x: the shape of its only input `x`, of single precision; or of each input its kind and shape.
        outputs: their names.
        opset: of the standard operators.
        output_kind: of what it puts out.
        metadata: of the model.
        domains: of other operators.
    """
    inputs = x if isinstance(x, Mapping) else {"x": (onnx.TensorProto.FLOAT, x)}
    model = helper.make_model(
        helper.make_graph(
            list(nodes),
            "net",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, output_kind, None) for name in outputs],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset), *(helper.make_opsetid(one, 1) for one in domains)],
        ir_version=9,
    )
    helper.set_model_props(model, dict(metadata or {}))
    return model


def node(operator: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    """A node; the names of tensors are separated by spaces."""
    return helper.make_node(operator, inputs.split(" "), outputs.split(" "), name, **attributes)


def conv(source: str, made: str, size: int = 3, **attributes: Any) -> onnx.NodeProto:
    """A convolution with the weights `made.w` that keeps the size; its node has the name of what it makes, `made`."""
    return node("Conv", f"{source} {made}.w", made, f"/{made}", pads=[size // 2] * 4, **attributes)


RESIDUAL = (
    conv("x", "stem"),
    node("Relu", "stem", "stem_relu", "/stem_relu"),
    conv("stem_relu", "left"),
    node("Relu", "left", "left_relu", "/left_relu"),
    conv("left_relu", "left2"),
    conv("stem_relu", "right", 1),
    node("Add", "left2 right", "added", "/added"),
    node("Relu", "added", "block", "/block"),
    # squeeze and excitation; how many rows there are is read from the shape of the input, as exporters do
    node("GlobalAveragePool", "block", "squeezed", "/squeezed"),
    conv("squeezed", "gate", 1),
    node("Sigmoid", "gate", "gated", "/gated"),
    node("Mul", "block gated", "excited", "/excited"),
    node("ReduceMean", "excited", "pooled", "/pooled", axes=[2, 3], keepdims=1),
    node("Shape", "x", "shape"),
    node("Gather", "shape zero", "rows", axis=0),
    node("Unsqueeze", "rows zeros", "rows1"),
    node("Concat", "rows1 minus", "flat_shape", axis=0),
    node("Reshape", "pooled flat_shape", "flat", "/flat"),
    node("Gemm", "flat fc.w fc.b", "logits", "/fc", transB=1),
)

RESIDUAL_WEIGHTS = {
    "stem.w": weights(6, 3, 3, 3),
    "left.w": weights(5, 6, 3, 3),
    "left2.w": weights(8, 5, 3, 3),
    "right.w": weights(8, 6, 1, 1),
    "gate.w": weights(8, 8, 1, 1),
    "fc.w": weights(4, 8),
    "fc.b": weights(4),
    "zero": np.array(0),
    "zeros": np.array([0]),
    "minus": np.array([-1]),
}


def residual(batch: Any = "n", size: Any = None, **options: Any) -> onnx.ModelProto:
    """A stem, one residual block of two branches, squeeze and excitation, pooling and a linear layer."""
    shape = [batch, 3, size or "h", size or "w"]
    return graph(RESIDUAL, RESIDUAL_WEIGHTS, shape, ["logits"], **options)


def runtime(model: onnx.ModelProto, output: Any = None) -> OnnxRuntime:
    """What runs it."""
    return OnnxRuntime(model_of(model), LogitsDecoder(output))


def batch(*x: np.ndarray, **named: np.ndarray) -> Batch:
    """The call."""
    return Batch(x, named, 0 if x else next(iter(named)))


def convolved(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A convolution that keeps the size, by brute force."""
    pad = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(2, 3))
    made: np.ndarray = np.einsum("bchwij,ocij->bohw", windows, weight)
    return made


def residual_values(x: np.ndarray, **given: np.ndarray) -> dict[str, np.ndarray]:
    """What every layer of `residual` puts out, with some of them given."""
    w, v = RESIDUAL_WEIGHTS, dict(given)

    def put(name: str, make: Any) -> np.ndarray:
        return v.setdefault(name, make())

    put("stem", lambda: convolved(x, w["stem.w"]))
    put("stem_relu", lambda: np.maximum(v["stem"], 0))
    put("left", lambda: convolved(v["stem_relu"], w["left.w"]))
    put("left_relu", lambda: np.maximum(v["left"], 0))
    put("left2", lambda: convolved(v["left_relu"], w["left2.w"]))
    put("right", lambda: convolved(v["stem_relu"], w["right.w"]))
    put("added", lambda: v["left2"] + v["right"])
    put("block", lambda: np.maximum(v["added"], 0))
    put("squeezed", lambda: v["block"].mean((2, 3), keepdims=True))
    put("gate", lambda: convolved(v["squeezed"], w["gate.w"]))
    put("gated", lambda: 1 / (1 + np.exp(-v["gate"])))
    put("excited", lambda: v["block"] * v["gated"])
    put("pooled", lambda: v["excited"].mean((2, 3), keepdims=True))
    put("flat", lambda: v["pooled"].reshape(len(x), -1))
    put("logits", lambda: v["flat"] @ w["fc.w"].T + w["fc.b"])
    return v
