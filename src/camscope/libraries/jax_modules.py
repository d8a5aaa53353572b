"""Flax and Equinox: modules that carry no preprocessing and no class names, and whose axes follow a convention."""

from __future__ import annotations

from typing import Any

from camscope.libraries.info import ModelInfo
from camscope.models.jax.conventions import space_of

_UNPREPARED = "a {} module carries nothing of it, and an array that is prepared already does without"


def recognise(model: Any) -> tuple[Any, ModelInfo]:
    """A module and its info: which axes of its input are space by the convention of its library."""
    flax = any(kind.__module__.partition(".")[0] == "flax" for kind in type(model).__mro__)
    unprepared = _UNPREPARED.format("Flax" if flax else "Equinox")
    return model, ModelInfo(space=space_of(model) if flax else None, unprepared=unprepared)
