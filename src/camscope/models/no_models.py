"""What was given for a model and is none: a state dict, a class, an estimator, a photo. Nothing is imported for it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any


def what_to_give(given: Any) -> str:
    """What an object is that is no model of any framework, and what to give in its place; empty if that is not seen.

    Args:
        given: what was given for a model.
    """
    kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(given).__mro__]
    if isinstance(given, type):
        return f"this is the class {given.__name__}, and no model yet: make one of it, {given.__name__}(…)."
    if inspect.isroutine(given):
        name = given.__name__ if given.__name__.isidentifier() else "it"
        return (
            f"this is a function. If it builds a model, call it: {name}(). A function of JAX that is a model is given "
            "in two parts, split at a layer: camscope.models.jax.SplitModel."
        )
    if isinstance(given, Mapping):
        return _of_mapping(given)
    if isinstance(given, (list, tuple)):
        return f"this is a {type(given).__name__} of {len(given)}: explain one model at a time."
    if any(kind.startswith("sklearn.") for kind in kinds):
        return (
            "an estimator of scikit-learn has no layers that see places of an image, so it has no class activation "
            "map. Give a network."
        )
    if any(kind.startswith("tensorflow.") for kind in kinds):
        return (
            "this is a program of TensorFlow without layers, as tf.saved_model.load gives it. Load the Keras model "
            "that it was made of, keras.saving.load_model('FILE.keras'); or convert it to ONNX (python -m "
            "tf2onnx.convert --saved-model FOLDER --output FILE.onnx) and give 'onnx:FILE.onnx'."
        )
    if "lightning" in kinds[0] and kinds[0].endswith(".Trainer"):
        return "this is a trainer: give its module, trainer.lightning_module."
    if kinds[0].startswith("transformers.") and kinds[0].endswith("Trainer"):
        return "this is a trainer: give its model, trainer.model."
    if hasattr(given, "shape") or hasattr(given, "convert"):
        return "this is an image or a tensor: the model comes first, camscope.explain(model, x)."
    return ""


def _of_mapping(given: Mapping[Any, Any]) -> str:
    """What to say of a dictionary: mostly one of weights."""
    weights = [name for name, one in given.items() if hasattr(one, "shape")]
    inner = next(
        (
            name
            for name in ("state_dict", "model_state_dict", "model")
            if isinstance(given.get(name), Mapping)
        ),
        "",
    )
    if weights or inner:
        where = f"[{inner!r}]" if inner and not weights else ""
        return (
            "this is a dictionary of weights, and not the model that they are of. Build that, and fill it: "
            f"model.load_state_dict(weights{where}). From a file it is shorter: camscope.explain('timm:NAME', x, "
            "weights='FILE.pth')."
        )
    models = [str(name) for name, one in given.items() if callable(getattr(one, "parameters", None))]
    if models:
        return f"this is a dictionary of models ({', '.join(models[:4])}): explain one of them."
    return "this is a dictionary: the model comes first, camscope.explain(model, x)."
