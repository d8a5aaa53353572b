"""The doorway to Keras' adapter: which objects are its own. See `camscope.models.registry.Doorway`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camscope.errors import ModelError
from camscope.models.decoding import OutputDecoder
from camscope.outputs import Task

if TYPE_CHECKING:
    from camscope.models.runtime.adapter import RuntimeAdapter


def owns(given: Any) -> bool:
    """Whether it is a model or a layer of Keras, or of a class that derives from one.

    It is asked by names along its classes: `keras` may be in the middle of being imported.
    """
    return any(
        base.__name__ in ("Layer", "Model") and base.__module__.startswith("keras.src.")
        for base in type(given).__mro__
    )


def unwrap(model: Any) -> Any:
    """Nothing wraps a Keras model."""
    return model


def adapt(model: Any, decoder: OutputDecoder, *, task: Task | None, optimised: bool | str) -> RuntimeAdapter:
    """The adapter of a model.

    Args:
        model: a Keras model.
        decoder: how it is called and what it puts out means.
        task: what the outputs mean; None asks the decoder, then the model.
        optimised: must be False.

    Raises:
        ModelError: if the model was never built, or an optimised copy is wanted.
    """
    if optimised:
        raise ModelError(
            "optimised= is for PyTorch models: a Keras model is explained as it is. In half precision it runs where "
            "it was made so: keras.mixed_precision.set_dtype_policy('mixed_bfloat16') before the model is built."
        )
    from camscope.models.keras.keras_runtime import KerasRuntime
    from camscope.models.runtime.adapter import RuntimeAdapter

    return RuntimeAdapter(KerasRuntime(model, decoder), decoder, task)


def move(model: Any, device: str) -> Any:
    """The model, if it is on that device: Keras cannot move one.

    Raises:
        ModelError: saying how to build it elsewhere.
    """
    from camscope.models.keras.backends import backend

    if device in (here := backend().device, here.partition(":")[0]):
        return model
    raise ModelError(
        f"A Keras model stays on the device on which it was built, {here}. To have it on {device!r}, build or load it "
        f"there: with keras.device({device!r}): …; or, for the whole process, set CUDA_VISIBLE_DEVICES before Keras is "
        "imported."
    )
