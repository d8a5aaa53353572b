"""The model of a run: made here or by a worker elsewhere, and what of it rows depend on."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from camscope.engine.explainer import Explainer
from camscope.errors import ModelError
from camscope.models.registry import doorway_of
from camscope.training.run_folder import versions


def explainer_of(model: Any, options: Mapping[str, Any]) -> Explainer:
    """The explainer of a model.

    Args:
        model: a name or an object, see `camscope.Explainer`; or an `Explainer`.
        options: of `camscope.Explainer`; its device moves an object too, which is a copy of the worker's own.

    Raises:
        ModelError: if it cannot be loaded.
    """
    if isinstance(model, Explainer):
        return model
    if not isinstance(model, (str, os.PathLike)) and options.get("device") is not None:
        model = doorway_of(model).move(model, str(options["device"]))
        options = {name: value for name, value in options.items() if name != "device"}
    return Explainer(model, **options)


def facts_of(explainer: Explainer) -> dict[str, Any]:
    """What rows depend on, of the model and of what runs it, by the names of `camscope.runs.run_plan.Asked`."""
    about, preprocessing = explainer.about, explainer.preprocessing
    return {
        "weights_sha256": str(about.get("weights_sha256", "")),
        "framework": str(about["framework"]),
        "dtype": str(about.get("dtype", "")),
        "preprocessing": None if preprocessing is None else preprocessing.to_dict(),
        "versions": {**versions(), "camscope": version("camscope")},
    }


def packed(model: Any, options: Mapping[str, Any]) -> bytes:
    """A model and its options as bytes, that a worker elsewhere makes it of.

    Args:
        model: a name or an object.
        options: of `camscope.Explainer`.

    Raises:
        ModelError: if it cannot be sent; the message says why, and what can.
    """
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps((model, dict(options)), protocol=5))
    except Exception as error:  # whatever stands in a user's model
        raise ModelError(
            f"This {type(model).__name__} cannot be sent to a worker: {_first_line(error)}. Give what a worker can "
            "make it of: a name ('timm:resnet50'), a name and a file of weights that all nodes see (weights='FILE'), "
            "or a function of yours that makes it ('FILE.py:FUNCTION')."
        ) from error


def unpacked(sent: bytes) -> tuple[Any, dict[str, Any]]:
    """The model and its options.

    Args:
        sent: by `packed`.

    Raises:
        ModelError: if something that it needs is not here.
    """
    try:
        model, options = pickle.loads(sent)
    except Exception as error:  # whatever stands in a user's model
        raise ModelError(
            f"the model that was sent cannot be made here: {_first_line(error)}. Is the package that its code is "
            "in installed on all nodes? Or give a function that makes it, 'FILE.py:FUNCTION', in a file that all nodes "
            "see."
        ) from error
    return model, options


def _first_line(error: Exception) -> str:
    return (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}".rstrip(
            ": ."
        )
    )
