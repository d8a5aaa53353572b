"""Sessions of ONNX Runtime for parts of one model. The last few are kept, since making one takes as long as runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import onnx
import onnxruntime

from camscope.errors import ModelError, first_line
from camscope.fair_lock import FairLock, held
from camscope.models.last_used import LastUsed
from camscope.models.onnx.onnx_model import OnnxModel, bytes_of

MOST, _BYTES = 32, 2**31
"""Sessions that are kept, and bytes of weights in them: each holds those of its part."""

_FOLDER = "session.model_external_initializers_file_folder_path"


class Sessions:
    """Makes sessions, and keeps the last few.

    Args:
        model: whose parts they run.
    """

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self._kept: LastUsed[_Session] = LastUsed(_BYTES, lambda one: max(one.bytes, _BYTES // MOST))
        self._lock = FairLock()

    def of(self, part: Hashable, build: Callable[[], onnx.ModelProto]) -> onnxruntime.InferenceSession:
        """The session of a part.

        Args:
            part: what it is known by.
            build: makes its graph, where it is not known.

        Raises:
            ModelError: if ONNX Runtime does not take the graph.
        """
        with held(self._lock):
            return self._kept.get(part, lambda: self._made(build())).session

    def _made(self, proto: onnx.ModelProto) -> _Session:
        options = session_options()
        if self._model.folder is not None:
            options.add_session_config_entry(_FOLDER, str(self._model.folder))
        try:
            session = onnxruntime.InferenceSession(
                proto.SerializeToString(), options, providers=list(self._model.providers)
            )
        except Exception as error:  # its errors share no base but this
            raise ModelError(
                f"ONNX Runtime {onnxruntime.__version__} does not run {self._model.name}: {said(error)}"
            ) from error
        return _Session(session, bytes_of(proto))


@dataclass(frozen=True)
class _Session:
    """A session, and the bytes of its graph and weights."""

    session: onnxruntime.InferenceSession
    bytes: int


def session_options() -> onnxruntime.SessionOptions:
    """How every session runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it has to say is in its errors too
    # else its threads go on spinning after a run, and what NumPy does next waits for a core; within a run they may,
    # since waking them for every operator takes a quarter of a small network's time
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def said(error: Exception) -> str:
    """What an error of ONNX Runtime says, without its code and the place in its source."""
    text = first_line(error)
    return text.split(" : ", 3)[-1] if text.startswith("[ONNXRuntimeError]") else text
