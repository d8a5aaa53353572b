"""Functions of one image's output, as other libraries have them: `function(output[b])` gives a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj
from jaxtyping import Float, Shaped

from camscope.arrays import Array
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
    if not rows_only:
        try:
            score = function(_rows(raw, slice(b, b + 1), batch))
            if tuple(getattr(score, "shape", (None,))) == (1,):
                return score[0]
        except Exception as error:
            tried = f" As a batch of one: {type(error).__name__}: {error}"
    try:
        score = function(_rows(raw, b, batch))
    except Exception as error:
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
    return score if shape == () else score[0]


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
