"""Functions of one image's output, as other libraries have them: `function(output[b])` gives a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, MethodType
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj
from jaxtyping import Float, Shaped

from camscope.arrays import Array, detached
from camscope.errors import TargetError
from camscope.outputs import Outputs
from camscope.targets.naming import function_name
from camscope.targets.scores import OutputScore

OneImageFunction: TypeAlias = Callable[[Any], Array]
"""Takes the raw output of one image, without the batch axis or as a batch of one, and gives one number."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OneImageScore(OutputScore):
    """Each image's own function of its own output.

    Attributes:
        functions: one for each image.
        rows_only: whether they are given the output without the batch axis, and never a batch of one.
    """

    rows_only: bool = False
    functions: Shaped[np.ndarray, " batch"] = field(default_factory=lambda: np.empty(0, dtype=object))

    def __call__(self, outputs: Outputs) -> Float[Array, " batch"]:
        """The number that each function gives for its image.

        Raises:
            TargetError: if a function gives none.
        """
        batch = outputs.logits.shape[0]
        scores = [
            _number(function, outputs.raw, b, batch, self.rows_only)
            for b, function in enumerate(self.functions)
        ]
        return array_namespace(scores[0]).stack(scores)


def of_one_function(function: OneImageFunction, batch: int, *, rows_only: bool = False) -> OneImageScore:
    """The score of a function that takes one image at a time, for a batch.

    Args:
        function: the same for every image.
        batch: how many images there are.
        rows_only: see `OneImageScore`.
    """
    functions = np.empty(batch, dtype=object)
    functions[:] = [function] * batch
    return OneImageScore(labels=(function_name(function),) * batch, functions=functions, rows_only=rows_only)


def moved_on(raw: Any, batch: int) -> Any:
    """A raw output with the images moved on by one place: the second in front, the first at the end.

    Args:
        raw: of the batch.
        batch: how many images there are.
    """
    order = [*range(1, batch), 0]
    if _is_one_of_each(raw, batch):
        return [raw[b] for b in order]

    def moved(values: Any) -> Any:
        has_rows = values.ndim and values.shape[0] == batch
        return array_namespace(values).stack([values[b] for b in order]) if has_rows else values

    return _each_array(raw, moved)


def _number(function: OneImageFunction, raw: Any, b: int, batch: int, rows_only: bool) -> Float[Array, ""]:
    """What a function says of one image: of its batch of one, or of its output without the batch axis."""
    tried = ""
    as_batch: Any = None
    try:
        as_batch = function(_rows(raw, slice(b, b + 1), batch))
    except Exception as error:
        tried = "" if rows_only else f" As a batch of one: {type(error).__name__}: {error}"
    if not rows_only and tuple(getattr(as_batch, "shape", (None,))) == (1,):
        return as_batch[0]
    whole = as_batch if tuple(getattr(as_batch, "shape", (None,))) == () else None
    try:
        score = function(_rows(raw, b, batch))
    except Exception as error:
        if whole is not None and not rows_only:
            return whole
        raise TargetError(
            f"The target {function_name(function)} fails for the output of one image: {type(error).__name__}: {error}."
            + tried
        ) from error
    shape = tuple(getattr(score, "shape", (None,)))
    if shape not in ((), (1,)):
        got = type(score).__name__ if shape == (None,) else f"shape {shape}"
        raise TargetError(
            f"The target {function_name(function)} must give one number for an image; it returned {got}. "
            "Sum or select over the axes, for instance output[3]."
        )
    number = score if shape == () else score[0]
    if whole is not None and isinstance(function, (FunctionType, MethodType, partial)):
        _check_same(function, float(detached(whole)), float(detached(number)))
    return number


def _check_same(function: OneImageFunction, whole: float, row: float) -> None:
    """Refuse a function that takes its axes for others where the batch axis is missing: `output[:, 3].mean()`.

    Objects of a class of their own are called without it, as other libraries call theirs.
    """
    if not math.isclose(whole, row, rel_tol=1e-3, abs_tol=1e-6) and not (
        math.isnan(whole) and math.isnan(row)
    ):
        raise TargetError(
            f"The target {function_name(function)} gives {whole:.4g} for the output of one image as a batch of one, "
            f"and {row:.4g} without the batch axis, so it is not clear which axis is meant. Count axes from the end, "
            "which means the same in both: output[..., 3, :, :].mean() for a map of every class, output[..., 3] for "
            "scores."
        )


def _rows(raw: Any, which: int | slice, batch: int) -> Any:
    """The part of a raw output that belongs to an image: its dictionary, or of every array that has a row for each."""
    if _is_one_of_each(raw, batch):
        return raw[which]
    return _each_array(
        raw, lambda values: values[which] if values.ndim and values.shape[0] == batch else values
    )


def _is_one_of_each(raw: Any, batch: int) -> bool:
    """Whether a raw output is a list with a dictionary for each image, as detectors give it."""
    listed = isinstance(raw, (list, tuple)) and len(raw) == batch
    return listed and all(isinstance(one, Mapping) for one in raw)


def _each_array(raw: Any, change: Callable[[Any], Any]) -> Any:
    """A raw output with every array in it changed."""
    if is_array_api_obj(raw) or isinstance(raw, np.ndarray):
        return change(raw)
    if isinstance(raw, Mapping):
        return {key: _each_array(value, change) for key, value in raw.items()}
    if isinstance(raw, (list, tuple)):
        return [_each_array(value, change) for value in raw]
    return raw
