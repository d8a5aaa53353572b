"""Saved Keras models, read without running code that the file may hold."""

from __future__ import annotations

import contextlib
import sys
import zipfile
from pathlib import Path
from typing import Any

from camscope.errors import ModelError
from camscope.models.file_kinds import what_it_is

ENDINGS = (".keras", ".h5", ".hdf5")


def load_file(path: Path, *, trust: bool) -> Any:
    """The model in a file.

    Args:
        path: of the file.
        trust: whether code in it may run.

    Raises:
        ModelError: if it is no model's file, holds weights only, needs classes of the user's own, or would run code.
    """
    import keras

    if not path.exists():
        raise ModelError(f"There is no file '{path}'.")
    if not path.name.endswith(ENDINGS):
        told = what_it_is(path)
        raise ModelError(told or f"{path} is no Keras model: its name does not end in {', '.join(ENDINGS)}.")
    if path.name.endswith(".weights.h5"):
        raise ModelError(_ONLY_WEIGHTS.format(path=path))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:
        raise ModelError(_in_words(path, error)) from error


def load_weights(model: Any, path: Path) -> None:
    """Load the weights in a file into a model.

    Args:
        model: a Keras model.
        path: a file that `model.save_weights` wrote, or a whole model saved as .h5.

    Raises:
        ModelError: if it cannot be read, or does not fit.
    """
    if not path.is_file():
        raise ModelError(f"There is no weights file '{path}'.")
    if not path.name.endswith(ENDINGS):
        raise ModelError(
            f"The weights of a Keras model are in a file that ends in .weights.h5, as model.save_weights writes it; "
            f"got {path}."
        )
    try:
        model.load_weights(path)
    except Exception as error:
        raise ModelError(f"The weights in {path} do not fit {model.name!r}: {_first_line(error)}") from error


_ONLY_WEIGHTS = (
    "{path} holds weights only, and no model. Build the model in a file of yours, or by name, and give these as its "
    "weights: --model keras:ResNet50 --weights {path}, or --model FILE.py:FACTORY --weights {path}."
)


def _in_words(path: Path, error: Exception) -> str:
    """Why a file could not be loaded, and what to do."""
    said = str(error)
    if path.suffix == ".keras" and path.is_file() and not zipfile.is_zipfile(path):
        return (
            f"{path} is not a readable Keras model: a .keras file is a zip archive, and this is none. Was it "
            "downloaded or saved in full? A model in Keras' older format ends in .h5."
        )
    if "safe_mode" in said or "unsafe_deserialization" in said or "safe mode" in said:
        return (
            f"{path} holds Python code (a Lambda layer, mostly): reading it would run that, so it was refused. Put the "
            "layer's function into a class of your own; or, only if you trust the file like a program, --trust-pickle "
            "(trust_pickle=True in Python)."
        )
    if "No model config" in said:
        return _ONLY_WEIGHTS.format(path=path)
    if "could not be deserialized" in said or "Could not locate" in said or "Unknown layer" in said:
        return (
            f"{path} is made of a class or function of your own that Keras does not know here. Load it in a file of "
            "yours: def model(): return keras.saving.load_model(…, custom_objects={…}), and give FILE.py:model. Keras "
            f"said: {_first_line(error)}"
        )
    return f"{path} is not a readable Keras model: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
