"""Products of matrices by ONNX Runtime, whose threads rest at their end and share the cores with its other sessions."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float

from camscope.models.onnx.sessions import session_options


def product(
    a: Float[np.ndarray, "row inner"], b: Float[np.ndarray, "inner column"]
) -> Float[np.ndarray, "row column"]:
    """The matrix product a @ b, on the CPU whatever the model runs on: others may multiply less precisely.

    Args:
        a: the left matrix.
        b: the right one, of the same precision.
    """
    session = _session(np.result_type(a, b))
    made: np.ndarray = session.run(["product"], {"a": a, "b": b})[0]
    return made


@cache
def _session(dtype: np.dtype) -> onnxruntime.InferenceSession:
    """What multiplies matrices of a precision."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["a", "b"], ["product"])],
        "product",
        [onnx.helper.make_tensor_value_info(name, kind, [None, None]) for name in ("a", "b")],
        [onnx.helper.make_tensor_value_info("product", kind, [None, None])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
