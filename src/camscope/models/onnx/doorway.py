"""The doorway to ONNX Runtime's adapter: which objects are its own. See `camscope.models.registry.Doorway`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from camscope.errors import MissingExtraError, ModelError
from camscope.models.decoding import OutputDecoder
from camscope.outputs import Task

if TYPE_CHECKING:
    from camscope.models.adapter import Adapter
    from camscope.models.onnx.onnx_model import OnnxModel

_KINDS = (
    ("onnx", "ModelProto"),
    ("onnxruntime", "InferenceSession"),
    ("camscope.models.onnx.onnx_model", "OnnxModel"),
)
"""The modules and the classes in them that are models of this framework."""


def owns(given: Any) -> bool:
    """Whether it is a graph, a session, or a file that was read."""
    return any(_is(given, module, name) for module, name in _KINDS)


def _is(given: Any, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(given, kind)


def unwrap(model: Any) -> OnnxModel:
    """The graph, and where its weights are.

    Raises:
        ModelError: if it cannot be explained, or a session does not tell what it was made of.
        MissingExtraError: if onnx or onnxruntime is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("explaining ONNX models", "onnx") from error
    from camscope.models.onnx.onnx_model import OnnxModel, model_in_session, model_of

    if isinstance(model, OnnxModel):
        return model
    return model_in_session(model) if _is(model, *_KINDS[1]) else model_of(model)


def adapt(model: Any, decoder: OutputDecoder, *, task: Task | None, optimised: bool | str) -> Adapter:
    """The adapter of a graph.

    Args:
        model: a graph, a session, or a file that was read.
        decoder: what it puts out means.
        task: what the outputs mean; None asks the decoder, then the model.
        optimised: must be False.

    Raises:
        ModelError: if `optimised` asks for anything.
    """
    if optimised:
        raise ModelError(
            "ONNX Runtime optimises every graph itself, so there is nothing more to optimise: leave optimised out. "
            "For half precision give a model that was exported in it."
        )
    from camscope.models.onnx.onnx_runtime import OnnxRuntime
    from camscope.models.runtime.adapter import RuntimeAdapter

    return RuntimeAdapter(OnnxRuntime(unwrap(model), decoder), decoder, task)


def move(model: Any, device: str) -> OnnxModel:
    """The model on another device: `cpu`, or `cuda:0` where ONNX Runtime was built for it.

    Raises:
        ModelError: if there is no such device.
    """
    import onnxruntime

    kind, _, number = device.partition(":")
    names = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    available = onnxruntime.get_available_providers()
    wanted = names.get(kind, "")
    if wanted not in available or not (number.isdigit() or not number):
        raise ModelError(
            f"The model cannot be moved to {device!r}: this ONNX Runtime runs with {', '.join(available)}. For others, "
            "install its package for them (onnxruntime-gpu, say), or give an InferenceSession with providers=[…]."
        )
    providers = (wanted,) if kind == "cpu" else ((wanted, {"device_id": int(number or 0)}), names["cpu"])
    return replace(unwrap(model), providers=providers)
