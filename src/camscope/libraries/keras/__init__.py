"""Keras: models of keras.applications by name, saved models by file, and what can be known of any Keras model."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from camscope.errors import MissingExtraError, ModelError, nearest
from camscope.libraries.info import ModelInfo
from camscope.libraries.keras.applications import family_of, preparation
from camscope.libraries.keras.axes_of_space import space_axes
from camscope.libraries.keras.saved_files import ENDINGS, load_file, load_weights

OLDEST = (3, 11, 3)
"""Older versions of Keras did not refuse code in .h5 files."""


def recognise(given: Any) -> tuple[Any, ModelInfo]:
    """A Keras model and its info.

    Such a model says nothing of photos but its name, if it is one of keras.applications, and its first layer.
    """
    _keras()
    found = preparation(given)
    return given, ModelInfo(
        preprocessing=found.preprocessing,
        class_names=found.class_names,
        name=f"keras:{given.name}" if family_of(given.name) else None,
        note=found.note,
        space=space_axes(given),
        unprepared=found.why_not,
        photo=found.photo,
    )


def create(name: str, *, pretrained: bool, trust_pickle: bool = False) -> tuple[Any, ModelInfo]:
    """A model of keras.applications, or of a file, and its info.

    Args:
        name: of the model, or of the file.
        pretrained: whether a model has its published weights or is untrained. A file comes with its weights.
        trust_pickle: whether a file may hold code.

    Raises:
        ModelError: for an unknown name (with the nearest), weights that cannot be fetched, or a file that cannot be
            read, or would run code.
        MissingExtraError: if Keras is not installed.
    """
    keras = _keras()
    if name.endswith(ENDINGS) or Path(name).exists():
        if not pretrained:
            raise ModelError(
                f"{name} comes with its own weights; --weights (weights= in Python) is for models by name, such as "
                "keras:ResNet50."
            )
        return recognise(load_file(Path(name), trust=trust_pickle))
    known = [one for one in dir(keras.applications) if one[0].isupper()]
    if name not in known:
        raise ModelError(
            f"keras.applications has no model {name!r}, and there is no such file.{nearest(name, known)} A file "
            f"ends in {', '.join(ENDINGS)}."
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Keras writes how a download goes
            return recognise(getattr(keras.applications, name)(weights="imagenet" if pretrained else None))
    except Exception as error:
        if not pretrained:
            raise ModelError(f"Keras could not build {name!r}: {error}") from error
        raise ModelError(
            f"Keras could not fetch the published weights of {name!r} ({type(error).__name__}: "
            f"{(str(error).splitlines() or ['no message'])[0]}). Offline, give a file of weights: --weights "
            "FILE.weights.h5 (weights=FILE in Python), or the whole model: keras:FILE.keras; or look at the untrained "
            "network with --weights random."
        ) from error


def fill(model: Any, path: Path) -> None:
    """Load the weights in a file into a model. See `load_weights`."""
    load_weights(model, path)


def _keras() -> Any:
    """Keras, if it can be imported and is new enough."""
    if importlib.util.find_spec("keras") is None:
        raise MissingExtraError("Keras models", "keras")
    try:
        import keras
    except ImportError as error:
        there = [one for one in ("torch", "tensorflow", "jax") if importlib.util.find_spec(one) is not None]
        choose = f"set the environment variable KERAS_BACKEND to {' or '.join(there)}" if there else ""
        raise ModelError(
            f"Keras is installed, but not the backend that it is to run on ({error}). Install that, or "
            f"{choose or 'another: pip install torch, tensorflow or jax, and set KERAS_BACKEND'}."
        ) from error
    version = tuple(int(part) for part in keras.__version__.split(".")[:3] if part.isdigit())
    if version < OLDEST:
        raise ModelError(
            f"Keras {keras.__version__} is installed; camscope needs {'.'.join(map(str, OLDEST))} or newer: pip "
            "install --upgrade keras."
        )
    return keras
