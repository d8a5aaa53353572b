"""What differs between Keras' backends: their tensors, and how logits are differentiated by what layers put out."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, ClassVar, TypeAlias

import keras
import numpy as np
from jaxtyping import Float, Shaped

from camscope.errors import ModelError
from camscope.models.runtime import PullBack

Tap: TypeAlias = Callable[[str, Any], Any]
"""Is given what a layer put out, and its name; gives the tensor by which is differentiated, to be put out instead."""

Traced: TypeAlias = tuple[Any, Mapping[str, Any], Any]
"""The logits, what each tapped layer put out, and all else that a run gave, in lists, tuples and dictionaries."""

Shapes: TypeAlias = MutableMapping[str, tuple[tuple[int, ...], Any]]
"""The shape and type of what each tapped layer of one model puts out."""

Slopes: TypeAlias = Callable[[Any], Mapping[str, Any]]
"""From weights of the logits to the gradient of Σ weights ⊙ logits by what each tapped layer put out, all tensors."""


class Backend(ABC):
    """A backend of Keras: what it does otherwise than the others.

    Attributes:
        name: of its package.
        traces_all: whether a run that is differentiated is slowed down from its beginning, and not from what is tapped
            first on; what comes before is better run by itself then.
    """

    name: ClassVar[str]
    traces_all: ClassVar[bool] = False

    @property
    def version(self) -> str:
        """Its name and version."""
        return f"{self.name} {importlib.import_module(self.name).__version__}"

    @property
    @abstractmethod
    def device(self) -> str:
        """Where it computes."""

    @abstractmethod
    def reading(self, variable: Any) -> tuple[Any, Hashable]:
        """A variable's value, and a mark of it: as long as the value is held, another value has another mark."""

    @abstractmethod
    def is_there(self, tensor: Any) -> bool:
        """Whether a tensor has values that can be read, and does not only stand for some in a graph being traced."""

    def running(self) -> AbstractContextManager[object]:
        """In this context nothing is kept for gradients."""
        return nullcontext()

    @abstractmethod
    def traced(
        self, run: Callable[[Tap], Traced], shapes: Shapes
    ) -> AbstractContextManager[tuple[Traced, Slopes]]:
        """Run a model so that its logits can be differentiated by what is tapped. See `differentiated`."""

    @contextmanager
    def differentiated(
        self, run: Callable[[Tap], Traced], shapes: Shapes
    ) -> Iterator[tuple[Traced, PullBack]]:
        """Run a model so that its logits can be differentiated by what is tapped.

        Args:
            run: runs it.
            shapes: what an earlier run like this one noted; empty for the first. A backend that needs them notes them.
        """
        with self.traced(run, shapes) as (found, slopes):
            dtype = keras.backend.standardize_dtype(found[0].dtype)

            def pull_back(weights: Float[np.ndarray, " ..."]) -> dict[str, np.ndarray]:
                return {name: to_numpy(slope) for name, slope in slopes(from_numpy(weights, dtype)).items()}

            yield found, pull_back


@cache
def backend() -> Backend:
    """The one that Keras runs on in this process."""
    known = {kind.name: kind for kind in (TorchBackend, TensorFlowBackend, JaxBackend)}
    name = keras.backend.backend()
    if name not in known:
        raise ModelError(f"Keras runs on {name!r} here; its models are explained on {', '.join(known)}.")
    return known[name]()


def from_numpy(array: Shaped[np.ndarray, " ..."], dtype: Any = None) -> Any:
    """An array as a tensor of the backend."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return keras.ops.convert_to_tensor(plain, dtype=dtype)


def to_numpy(tensor: Any) -> Shaped[np.ndarray, " ..."]:
    """A tensor as an array; half precision, which NumPy knows only in part, as single precision."""
    if keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16"):
        tensor = keras.ops.cast(tensor, "float32")
    if hasattr(tensor, "detach"):  # of PyTorch
        tensor = tensor.detach().cpu()
    return np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor)


class TorchBackend(Backend):
    """PyTorch's autograd."""

    name = "torch"

    @property
    def device(self) -> str:
        """Where it computes."""
        from keras.src.backend.torch.core import get_device

        return str(get_device())

    def reading(self, variable: Any) -> tuple[Any, Hashable]:
        """Marked by where it lies, and how often it was changed there."""
        value = variable.value
        return value, (value.data_ptr(), value._version)

    def is_there(self, tensor: Any) -> bool:
        """Every tensor has values."""
        return True

    def running(self) -> AbstractContextManager[object]:
        """Without a graph."""
        import torch

        return torch.no_grad()

    @contextmanager
    def traced(self, run: Callable[[Tap], Traced], shapes: Shapes) -> Iterator[tuple[Traced, Slopes]]:
        """The graph starts at the first tensor that is tapped."""
        import torch

        def tap(name: str, value: Any) -> Any:
            torch.set_grad_enabled(True)
            return value if value.requires_grad else value.detach().requires_grad_(True)

        with torch.inference_mode(False), torch.no_grad():
            found = logits, tapped, _ = run(tap)

        def slopes(weights: Any) -> dict[str, Any]:
            if not logits.requires_grad:
                return {name: torch.zeros_like(value) for name, value in tapped.items()}
            each = torch.autograd.grad(
                logits, list(tapped.values()), weights, retain_graph=True, materialize_grads=True
            )
            return dict(zip(tapped, each, strict=True))

        yield found, slopes


class TensorFlowBackend(Backend):
    """TensorFlow's tape."""

    name = "tensorflow"

    @property
    def device(self) -> str:
        """Where it computes."""
        import tensorflow as tf

        return "gpu:0" if tf.config.list_logical_devices("GPU") else "cpu"

    def reading(self, variable: Any) -> tuple[Any, Hashable]:
        """Marked by where it lies: what was read is never changed, so an assignment takes other memory."""
        import tensorflow as tf

        value = tf.convert_to_tensor(variable.value)
        return value, int(np.asarray(memoryview(value)).__array_interface__["data"][0])

    def is_there(self, tensor: Any) -> bool:
        """Whether it is eager."""
        return hasattr(tensor, "numpy")

    @contextmanager
    def traced(self, run: Callable[[Tap], Traced], shapes: Shapes) -> Iterator[tuple[Traced, Slopes]]:
        """The tape watches nothing but what is tapped, so it starts there."""
        import tensorflow as tf

        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

            def tap(name: str, value: Any) -> Any:
                value = tf.identity(value)
                tape.watch(value)
                return value

            found = logits, tapped, _ = run(tap)

        def slopes(weights: Any) -> dict[str, Any]:
            each = tape.gradient(
                logits,
                dict(tapped),
                output_gradients=weights,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return {name: tf.convert_to_tensor(slope) for name, slope in each.items()}

        try:
            yield found, slopes
        finally:
            del tape


class JaxBackend(Backend):
    """JAX: a zero is added to what is tapped, and the derivative by that zero is the derivative by the whole."""

    name = "jax"
    traces_all = True

    @property
    def device(self) -> str:
        """Where it computes."""
        import jax

        device = jax.devices()[0]
        return "cpu" if device.platform == "cpu" else f"{device.platform}:{device.id}"

    def reading(self, variable: Any) -> tuple[Any, Hashable]:
        """Marked by which array it is: arrays never change."""
        return variable.value, id(variable.value)

    def is_there(self, tensor: Any) -> bool:
        """Whether it is no tracer."""
        import jax

        return not isinstance(tensor, jax.core.Tracer)

    @contextmanager
    def traced(self, run: Callable[[Tap], Traced], shapes: Shapes) -> Iterator[tuple[Traced, Slopes]]:
        """The zeros must be there before the run, so a first one tells their shapes."""
        import jax
        import jax.numpy as jnp

        if not shapes:
            found: dict[str, tuple[tuple[int, ...], Any]] = {}

            def shape(name: str, value: Any) -> Any:
                found[name] = value.shape, value.dtype
                return value

            run(shape)
            shapes.update(found)

        def with_zeros(zeros: Mapping[str, Any]) -> tuple[Any, Any]:
            logits, tapped, rest = run(lambda name, value: value + zeros[name])
            return logits, (tapped, rest)

        zeros = {name: jnp.zeros(*shape) for name, shape in shapes.items()}
        logits, back, (tapped, rest) = jax.vjp(with_zeros, zeros, has_aux=True)
        yield (logits, tapped, rest), lambda weights: back(weights)[0]
