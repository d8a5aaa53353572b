"""The doorway to the adapter in NumPy. See `camscope.models.registry.Doorway`."""

from __future__ import annotations

from typing import Any

from camscope.errors import ModelError
from camscope.models.decoding import OutputDecoder
from camscope.models.registry import Framework
from camscope.models.runtime import RuntimeAdapter
from camscope.outputs import Task
from tests.conformance.networks import Network
from tests.conformance.numpy_runtime import NumpyRuntime

FRAMEWORK = Framework("NumPy", "numpy", __name__)


def owns(given: Any) -> bool:
    return isinstance(given, Network)


def unwrap(model: Network) -> Network:
    return model


def adapt(
    model: Network, decoder: OutputDecoder, *, task: Task | None, optimised: bool | str
) -> RuntimeAdapter:
    if optimised:
        raise ModelError("A network in NumPy has no optimised form; leave optimised out.")
    return RuntimeAdapter(NumpyRuntime(model, decoder), decoder, task)


def move(model: Network, device: str) -> Network:
    if device != "cpu":
        raise ModelError(f"The model cannot be moved to {device!r}: NumPy knows the CPU only.")
    return model
