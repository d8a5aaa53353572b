"""What a model is, for the record that goes with its maps: runtime, device, precision and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime

from camscope.models.onnx.onnx_model import OnnxModel, external_data_of


def description(model: OnnxModel, dtype: np.dtype) -> Mapping[str, Any]:
    """Name, framework, device, precision, operator sets and weights digest of a model.

    Args:
        model: the model.
        dtype: of its input.
    """
    first = model.providers[0]
    provider = first if isinstance(first, str) else first[0]
    return {
        "model": model.name,
        "framework": f"onnxruntime {onnxruntime.__version__}",
        "device": provider.removesuffix("ExecutionProvider").lower(),
        "dtype": str(dtype),
        "opset": {one.domain or "ai.onnx": one.version for one in model.onnx_proto.opset_import},
        "weights_sha256": weights_digest(model),
    }


def weights_digest(model: OnnxModel) -> str:
    """SHA-256 over the names, types, shapes and bytes of the initialisers."""
    sha = hashlib.sha256()
    for tensor in model.onnx_proto.graph.initializer:
        sha.update(f"{tensor.name} {tensor.data_type} {tuple(tensor.dims)}".encode())
        sha.update(_content(model, tensor))
    return sha.hexdigest()


def _content(model: OnnxModel, tensor: onnx.TensorProto) -> bytes:
    where = external_data_of(tensor)
    if not where:
        return tensor.raw_data or tensor.SerializeToString()
    assert model.folder is not None
    with (model.folder / where["location"]).open("rb") as file:
        file.seek(int(where.get("offset", 0)))
        return file.read(int(where["length"]) if "length" in where else -1)
