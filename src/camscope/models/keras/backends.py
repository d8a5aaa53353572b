"""What differs between Keras' backends: their tensors, and how logits are differentiated by what layers put out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, Protocol, TypeAlias

import keras
import numpy as np
from jaxtyping import Float, Shaped

from camscope.errors import ModelError
from camscope.models.runtime import PullBack

Tap: TypeAlias = Callable[[str, Any], Any]
"""Is given what a layer put out, and its name; gives the tensor by which is differentiated, to be put out instead."""

Traced: TypeAlias = tuple[Any, Mapping[str, Any], Any]
"""The logits, what each tapped layer put out, and all else that a run gave, in lists, tuples and dictionaries."""


class Backend(Protocol):
    """A backend."""

    @property
    def version(self) -> str:
        """Its name and version."""
        ...

    @property
    def device(self) -> str:
        """Where it computes."""
        ...

    def reading(self, variable: Any) -> tuple[Any, Hashable]:
        """A variable's value, and a mark of it: as long as the value is held, another value has another mark."""
        ...

    def is_there(self, tensor: Any) -> bool:
        """Whether a tensor has values that can be read, and does not only stand for some in a graph being traced."""
        ...

    def running(self) -> AbstractContextManager[object]:
        """In this context nothing is kept for gradients."""
        ...

    def differentiated(
        self, run: Callable[[Tap], Traced], key: Hashable
    ) -> AbstractContextManager[tuple[Traced, PullBack]]:
        """Run a model so that its logits can be differentiated by what is tapped.

        Args:
            run: runs it.
            key: equal for runs of one model whose tapped layers put out the same shapes; never for those of two models.
        """
        ...


@cache
def backend() -> Backend:
    """The one that Keras runs on in this process."""
    known: dict[str, type[Backend]] = {
        "torch": TorchBackend,
        "tensorflow": TensorFlowBackend,
        "jax": JaxBackend,
    }
    name = keras.backend.backend()
    if name not in known:
        raise ModelError(f"Keras runs on {name!r} here; its models are explained on {', '.join(known)}.")
    return known[name]()


def from_numpy(array: Shaped[np.ndarray, ...], dtype: Any = None) -> Any:
    """An array as a tensor of the backend."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return keras.ops.convert_to_tensor(plain, dtype=dtype)


def to_numpy(tensor: Any) -> Shaped[np.ndarray, ...]:
    """A tensor as an array; half precision, which NumPy knows only in part, as single precision."""
    if keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16"):
        tensor = keras.ops.cast(tensor, "float32")
    if hasattr(tensor, "detach"):  # of PyTorch
        tensor = tensor.detach().cpu()
    found: np.ndarray = tensor.numpy() if hasattr(tensor, "numpy") else np.asarray(tensor)
    return found


class TorchBackend:
    """PyTorch's autograd."""

    @property
    def version(self) -> str:
        """Its name and version."""
        import torch

        return f"torch {torch.__version__}"

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
    def differentiated(
        self, run: Callable[[Tap], Traced], key: Hashable
    ) -> Iterator[tuple[Traced, PullBack]]:
        """The graph starts at the first tensor that is tapped."""
        import torch

        def tap(name: str, value: Any) -> Any:
            torch.set_grad_enabled(True)
            return value if value.requires_grad else value.detach().requires_grad_(True)

        with torch.inference_mode(False), torch.no_grad():
            found = logits, tapped, _ = run(tap)

        def pull_back(weights: Float[np.ndarray, ...]) -> dict[str, np.ndarray]:
            if not logits.requires_grad:
                return {name: np.zeros_like(to_numpy(value)) for name, value in tapped.items()}
            given = from_numpy(weights, keras.backend.standardize_dtype(logits.dtype))
            slopes = torch.autograd.grad(
                logits, list(tapped.values()), given, retain_graph=True, allow_unused=True
            )
            return {
                name: to_numpy(torch.zeros_like(value) if slope is None else slope)
                for (name, value), slope in zip(tapped.items(), slopes, strict=True)
            }

        yield found, pull_back


class TensorFlowBackend:
    """TensorFlow's tape."""

    @property
    def version(self) -> str:
        """Its name and version."""
        import tensorflow

        return f"tensorflow {tensorflow.__version__}"

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

    def running(self) -> AbstractContextManager[object]:
        """No tape of ours watches."""
        return nullcontext()

    @contextmanager
    def differentiated(
        self, run: Callable[[Tap], Traced], key: Hashable
    ) -> Iterator[tuple[Traced, PullBack]]:
        """The tape watches nothing but what is tapped, so it starts there."""
        import tensorflow as tf

        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

            def tap(name: str, value: Any) -> Any:
                value = tf.identity(value)
                tape.watch(value)
                return value

            found = logits, tapped, _ = run(tap)

        def pull_back(weights: Float[np.ndarray, ...]) -> dict[str, np.ndarray]:
            slopes = tape.gradient(
                logits,
                dict(tapped),
                output_gradients=from_numpy(weights, logits.dtype),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return {name: to_numpy(tf.convert_to_tensor(slope)) for name, slope in slopes.items()}

        try:
            yield found, pull_back
        finally:
            del tape


class JaxBackend:
    """JAX: a zero is added to what is tapped, and the derivative by that zero is the derivative by the whole."""

    def __init__(self) -> None:
        self._zeros: dict[Hashable, dict[str, tuple[tuple[int, ...], Any]]] = {}

    @property
    def version(self) -> str:
        """Its name and version."""
        import jax

        return f"jax {jax.__version__}"

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

    def running(self) -> AbstractContextManager[object]:
        """Nothing is kept unless it is traced."""
        return nullcontext()

    @contextmanager
    def differentiated(
        self, run: Callable[[Tap], Traced], key: Hashable
    ) -> Iterator[tuple[Traced, PullBack]]:
        """The tangents start at the first zero."""
        import jax
        import jax.numpy as jnp

        if key not in self._zeros:
            shapes: dict[str, tuple[tuple[int, ...], Any]] = {}

            def shape(name: str, value: Any) -> Any:
                shapes[name] = value.shape, value.dtype
                return value

            run(shape)
            self._zeros[key] = shapes

        def traced(zeros: Mapping[str, Any]) -> tuple[Any, Any]:
            logits, tapped, rest = run(lambda name, value: value + zeros[name])
            return logits, (tapped, rest)

        zeros = {name: jnp.zeros(*shape) for name, shape in self._zeros[key].items()}
        logits, back, (tapped, rest) = jax.vjp(traced, zeros, has_aux=True)

        def pull_back(weights: Float[np.ndarray, ...]) -> dict[str, np.ndarray]:
            (slopes,) = back(from_numpy(weights, logits.dtype))
            return {name: to_numpy(slope) for name, slope in slopes.items()}

        yield (logits, tapped, rest), pull_back
