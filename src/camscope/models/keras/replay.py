"""The part of a model after a layer: what was put out before it is given again, by the time at which that was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from camscope.errors import ModelError
from camscope.models.keras.backends import backend, to_numpy
from camscope.models.keras.shadows import Call, Course, Watcher, passing_through_keras
from camscope.models.layer import has_batch_second

Rows = Literal["of all", "tiled", "repeated", "second"]
"""How a tensor grows with the batch: not at all; block by block; each row by itself; or along its second axis."""


class Reached(BaseException):
    """A run has come as far as it should."""


class Prefix(Watcher):
    """Keeps what was put out until a call has ended, and ends the run there.

    Of calls inside of others only the outermost is kept, and only what has values: not what a loop is traced with.

    Args:
        at: the number of that call.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.kept: dict[int, Any] = {}

    def after(self, number: int, call: Call, given: Any, value: Any) -> Any:
        """Keep it."""
        if all(backend().is_there(leaf) for leaf in keras.tree.flatten(value) if keras.ops.is_tensor(leaf)):
            for inner in range(number + 1, call.end):
                self.kept.pop(inner, None)
            self.kept[number] = value
        if number == self.at:
            raise Reached
        return value


class Suffix(Watcher):
    """Gives again what was put out before a call began, and something else as what this call puts out.

    Args:
        course: all calls, as they were made before.
        kept: what some of them put out, by their numbers.
    """

    def __init__(self, course: Course, kept: Mapping[int, Any]) -> None:
        self.course, self.kept = course, kept

    def before(self, number: int, name: str) -> tuple[Any, int] | None:
        """What was kept.

        Raises:
            ModelError: if the model now calls other layers than before.
        """
        if number >= len(self.course) or self.course[number].layer != name:
            raise passing_through_keras(
                ModelError(
                    f"The model called {name!r} where it had called other layers before, so the part after a layer "
                    "cannot be run by itself. Methods that run it cannot be used for this model."
                )
            )
        return (self.kept[number], self.course[number].end) if number in self.kept else None


def how_it_grows(one: Any, two: Any) -> Rows:
    """How a tensor grows with the batch.

    Args:
        one: for one image.
        two: for this image twice.

    Raises:
        ModelError: if it is none of the four.
    """
    first, second = tuple(one.shape), tuple(two.shape)
    if first == second:
        return "of all"
    if has_batch_second(first) and second == (first[0], 2, first[2]):
        return "second"
    if first and second[0] == 2 * first[0] and second[1:] == first[1:]:
        if first[0] == 1:
            return "tiled"
        a, b = to_numpy(one), to_numpy(two)
        scale = 1e-4 * max(float(np.abs(a).max()), 1e-6)
        if np.abs(np.concatenate([a, a]) - b).max() <= scale:
            return "tiled"
        if np.abs(np.repeat(a, 2, axis=0) - b).max() <= scale:
            return "repeated"
    raise passing_through_keras(
        ModelError(
            f"A layer puts out {first} for one image and {second} for two of the same, so it mixes the images of a "
            "batch. The part after it cannot be run for single images."
        )
    )


def grown(tensor: Any, rows: Rows, count: int) -> Any:
    """A tensor made for one image, as it would be for so many of the same.

    Args:
        tensor: made for one.
        rows: how it grows with the batch.
        count: of images.
    """
    if rows == "of all" or count == 1:
        return tensor
    if rows == "second":
        return keras.ops.broadcast_to(tensor, (tensor.shape[0], count, tensor.shape[2]))
    if tensor.shape[0] == 1:
        return keras.ops.broadcast_to(tensor, (count, *tensor.shape[1:]))
    if rows == "tiled":
        return keras.ops.tile(tensor, (count, *(1 for _ in tensor.shape[1:])))
    return keras.ops.repeat(tensor, count, axis=0)


@dataclass(frozen=True)
class Kept:
    """What was put out until a layer's last call ended.

    Attributes:
        course: all calls of the model.
        at: the number of that call.
        values: by the number of the call.
        rows: how each tensor of each of them grows with the batch; None where there was more than one image, or where
            only what the layer puts out counts.
    """

    course: Course
    at: int
    values: Mapping[int, Any]
    rows: Mapping[int, list[Rows]] | None

    def suffix(self, count: int, change: Callable[[Any], Any]) -> Suffix:
        """What gives it again, for so many rows.

        Args:
            count: of rows.
            change: from what the layer put out to what it puts out instead.
        """
        values = self.values if self.rows is None else {n: self._grown(n, count) for n in self.values}
        for tensor in keras.tree.flatten(list(values.values())):
            if getattr(tensor, "_keras_mask", None) is not None:  # Keras makes it anew, of these inputs
                tensor._keras_mask = None
        return Suffix(self.course, {**values, self.at: change(values[self.at])})

    def _grown(self, number: int, count: int) -> Any:
        assert self.rows is not None
        leaves, hows = iter(keras.tree.flatten(self.values[number])), iter(self.rows[number])
        made = [grown(leaf, next(hows), count) if keras.ops.is_tensor(leaf) else leaf for leaf in leaves]
        return keras.tree.pack_sequence_as(self.values[number], made)
