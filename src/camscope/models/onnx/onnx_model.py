"""An ONNX model as it is given: a file, a `ModelProto` or an `InferenceSession`; and what cannot be explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import inliner

from camscope.errors import ModelError
from camscope.models.file_kinds import what_it_is

BRANCHING = ("If", "Loop", "Scan")
"""Operators that hold graphs of their own, of which the input decides whether and how often they run."""


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A model and what ONNX Runtime needs to run it.

    Attributes:
        onnx_proto: its graph. Large weights may be outside of it, in files.
        folder: where these files are; None if there are none.
        name: of its file, or of its graph.
        providers: ONNX Runtime's execution providers, the preferred one first.
    """

    onnx_proto: onnx.ModelProto
    folder: Path | None = None
    name: str = ""
    providers: Sequence[Any] = ("CPUExecutionProvider",)


def read_model(path: Path, providers: Sequence[Any] = ("CPUExecutionProvider",)) -> OnnxModel:
    """The model in a file.

    Args:
        path: an `.onnx` file; its external data is looked for beside it.
        providers: that it is run with.

    Raises:
        ModelError: if there is no such file, it is no ONNX file, its external data is missing, or it cannot be
            explained (see `checked`).
    """
    if not path.is_file():
        folder = path if path.is_dir() else path.parent
        there = sorted(other.name for other in folder.glob("*.onnx")) if folder.is_dir() else []
        found = f" In {folder} there are: {', '.join(there[:8])}." if there else ""
        folders = f"{str(path)!r} is a folder; name a file, 'onnx:FILE.onnx'."
        missing = folders if path.is_dir() else f"There is no file {str(path)!r}."
        raise ModelError(f"{missing}{found}")
    try:
        proto = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise _no_onnx(path) from error
    if not proto.ir_version or not proto.graph.node:
        raise _no_onnx(path)
    return checked(OnnxModel(proto, path.parent.resolve(), path.name, tuple(providers)))


def model_in_session(session: Any) -> OnnxModel:
    """The model that an `onnxruntime.InferenceSession` runs, read again from its file or its bytes.

    Raises:
        ModelError: if the session does not tell where it comes from, or its model cannot be explained.
    """
    providers = [(name, options) for name, options in session.get_provider_options().items()]
    path, content = getattr(session, "_model_path", None), getattr(session, "_model_bytes", None)
    if path:
        return read_model(Path(path), providers)
    if content:
        try:
            proto = onnx.load_model_from_string(content)
        except DecodeError as error:
            raise ModelError(
                "The session was made of bytes that are no ONNX model (ONNX Runtime's own format, say): give the "
                "model it was converted from, 'onnx:FILE.onnx'."
            ) from error
        return model_of(proto, providers)
    raise ModelError(
        "This InferenceSession does not tell which file it was made of. Give the file, 'onnx:FILE.onnx', or the "
        "onnx.ModelProto."
    )


def model_of(proto: onnx.ModelProto, providers: Sequence[Any] = ("CPUExecutionProvider",)) -> OnnxModel:
    """The model in a `ModelProto`, which must hold all of its weights. It is copied, so that it may change later.

    Raises:
        ModelError: if some of them are in files, or the model cannot be explained.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return checked(OnnxModel(copy, None, proto.graph.name or "ONNX model", tuple(providers)))


def checked(model: OnnxModel) -> OnnxModel:
    """The model, its local functions written out.

    Raises:
        ModelError: if the input decides which parts of it run, or weights are missing.
    """
    proto = model.onnx_proto
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    for node in proto.graph.node:
        if node.op_type in BRANCHING:
            raise ModelError(
                f"The graph of {model.name} holds {_article(node.op_type)} (node {node.name or node.output[0]!r}): its "
                "input decides which operators run, so what comes after a layer cannot be cut out. Export the model "
                "without control flow (trace it with one kind of input), or give a file that has none."
            )
    _check_external_data(model, proto)
    return OnnxModel(proto, model.folder, model.name, model.providers)


def _article(operator: str) -> str:
    return f"an {operator}" if operator[0] in "AEIOU" else f"a {operator}"


def _check_external_data(model: OnnxModel, proto: onnx.ModelProto) -> None:
    """Refuse a model whose weights are in files that are not there."""
    for tensor in proto.graph.initializer:
        location = external_data_of(tensor).get("location")
        if location is None:
            continue
        if model.folder is None:
            raise ModelError(
                f"The weights of this ModelProto are in a file ({location}), and it does not tell in which folder. "
                "Give the model's file, 'onnx:FILE.onnx', or load them too: onnx.load(FILE)."
            )
        if not (model.folder / location).is_file():
            raise ModelError(
                f"{model.name} keeps weights ({tensor.name}, …) in the file {location!r}, which is not beside it in "
                f"{model.folder}. Copy it there, or export the model as one file (external_data=False)."
            )


def external_data_of(tensor: onnx.TensorProto) -> dict[str, str]:
    """Where a weight is in another file: `location`, `offset`, `length`; empty if it is in the graph."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return {}
    return {entry.key: entry.value for entry in tensor.external_data}


def bytes_of(proto: onnx.ModelProto) -> int:
    """The size of a graph and its weights, also of those in files."""
    outside = (external_data_of(tensor).get("length", 0) for tensor in proto.graph.initializer)
    return int(proto.ByteSize()) + sum(map(int, outside))


def _no_onnx(path: Path) -> ModelError:
    kinds = {
        ".ort": "It is of ONNX Runtime's own format: give the .onnx file that it was converted from.",
        ".pt": "Is it a PyTorch checkpoint? Then it is for --weights, or to be built in Python.",
        ".pth": "Is it a PyTorch checkpoint? Then it is for --weights, or to be built in Python.",
        ".data": "Are these the weights of one? Give the .onnx file that lies beside it.",
    }
    if told := what_it_is(path, no="onnx"):
        return ModelError(told)
    hint = kinds.get(path.suffix, "Was it downloaded in full?")
    return ModelError(f"{path} is not an ONNX file. {hint}")
