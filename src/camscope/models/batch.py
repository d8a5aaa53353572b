"""What a model is called with: the input that maps are of, and whatever else it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array, to_numpy
from camscope.models.axes import from_usual, to_usual, usual_space

MUCH_MORE = 2
"""How many times as much there is to see on an image that is looked at anew, where another one had to stand for all."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The arguments of one call.

    Arrays with as many rows as the batch belong to its images, row by row; everything else belongs to all of them.

    Attributes:
        args: by position.
        kwargs: by keyword.
        explained_input: where the input is that maps are of: numbers, or token numbers `batch token`.
        space_axes: which axes of that input are space; None for all behind batch and channel.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    explained_input: int | str = 0
    space_axes: tuple[int, ...] | None = None

    @staticmethod
    def of_usual(x: Array, space: tuple[int, ...] | None) -> Batch:
        """The call with one input whose axes are in the usual order, while the model may take them in another.

        Args:
            x: `batch channel *space`.
            space: the axes of space as the model takes them; None for the usual order.
        """
        given = x if space is None else from_usual(x, space, len(x.shape))
        return Batch((given,), space_axes=space)

    @property
    def given(self) -> Array:
        """The input that maps are of, as the model takes it."""
        place = self.explained_input
        return self.args[place] if isinstance(place, int) else self.kwargs[place]

    @property
    def x(self) -> Array:
        """The input that maps are of, as `batch channel *space`; or token numbers `batch token`."""
        given = self.given
        return given if self.of_tokens or len(given.shape) < 2 else to_usual(given, self._space_axes)

    @property
    def _space_axes(self) -> tuple[int, ...]:
        return usual_space(self.given.shape) if self.space_axes is None else self.space_axes

    @property
    def space(self) -> tuple[int, ...]:
        """The size of what maps are of, without batch and channel."""
        shape = self.x.shape
        return tuple(int(n) for n in (shape[1:] if len(shape) == 2 else shape[2:]))

    @property
    def of_tokens(self) -> bool:
        """Whether maps are of token numbers: there is no channel, and nothing to be differentiated or altered."""
        return len(self.given.shape) == 2 and "float" not in str(getattr(self.given, "dtype", ""))

    @property
    def signature(self) -> Hashable:
        """Equal for calls that run through the model alike: made of all shapes but the batch axis, and plain values.

        Each stands under its name: a switch that is on is another call than the switch beside it. What was found out
        about the model on one of them holds for the others: its layers, how its suffixes run.
        """

        def told(place: int | str, value: Any) -> Hashable:
            if place == self.explained_input:
                return tuple(value.shape[1:]), None if self.of_tokens else self._space_axes
            if _is_array(value):
                return str(value.dtype), *(value.shape[1:] if self._by_row(value) else value.shape)
            if isinstance(value, Mapping):
                return type(value).__name__, *(
                    (name, told("", value[name])) for name in sorted(value, key=str)
                )
            if type(value) in (list, tuple):
                return type(value).__name__, *(told("", inner) for inner in value)
            return type(value).__name__, _if_hashable(value)

        by_keyword = ((name, told(name, self.kwargs[name])) for name in sorted(self.kwargs))
        return *(told(place, value) for place, value in enumerate(self.args)), *by_keyword

    @property
    def shapes_of_others(self) -> list[tuple[int, ...]]:
        """The shapes of all arrays but the one that maps are of."""
        found: list[tuple[int, ...]] = []

        def note(value: Any) -> Any:
            if _is_array(value):
                found.append(tuple(value.shape))
            return value

        self.others(note)
        return found

    def __len__(self) -> int:
        return int(self.given.shape[0])

    @cached_property
    def spreads(self) -> Float[np.ndarray, " image"]:
        """How much there is to see on each image: the standard deviation over space, all channels taken together.

        0 for one that is the same everywhere. Of a text it is how many different tokens it has.
        """
        if self.of_tokens:
            return np.array([len(np.unique(text)) for text in to_numpy(self.x)], dtype=float)
        xp, x = array_namespace(self.x), self._in_full_precision
        if space := tuple(range(2, len(x.shape))):
            x = (
                x - x[(..., *(slice(1) for _ in space))]
            )  # of what is the same everywhere nothing is left by rounding
            x = x - xp.mean(x, axis=space, keepdims=True)
        squares = xp.mean(x * x, axis=tuple(range(1, len(x.shape))))
        spreads: np.ndarray = to_numpy(squares).astype(float) ** 0.5
        return spreads

    def most_telling(self, count: int = 1) -> Batch:
        """The call for the images on which there is most to see, those first: the same in whatever order they came.

        What is found out about a model on some images must not depend on which of them stands in front.

        Args:
            count: how many at most.
        """
        if self.of_tokens:
            of_equals = to_numpy(self.x)
        else:
            x = self._in_full_precision
            of_equals = to_numpy(array_namespace(x).mean(x, axis=tuple(range(1, len(x.shape)))))[:, None]
        return self.images(np.lexsort((*of_equals.T, -self.spreads))[:count])

    @property
    def _in_full_precision(self) -> Float[Array, " image *size"]:
        xp, x = array_namespace(self.x), self.x
        return x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)

    def images(self, index: Int[np.ndarray, " image"] | slice) -> Batch:
        """The call for these images, in this order, as often as they are named.

        Args:
            index: their numbers, or a slice of them.
        """

        def taken(value: Any) -> Any:
            return value[index] if self._by_row(value) else value

        return self.others(taken).with_x(taken(self.x))

    def altered(self, x: Array) -> Batch:
        """The call with another input of the same images; or, where there is one image, with variants of it.

        Args:
            x: as many rows as the batch has; any number of rows if it has one, which then goes with each of them.

        Raises:
            ValueError: for another number of rows than that.
        """
        rows = int(x.shape[0])
        if rows == len(self):
            return self.with_x(x)
        if len(self) != 1:
            raise ValueError(f"{rows} rows for the inputs of {len(self)} images")
        return self.images(np.zeros(rows, dtype=np.int64)).with_x(x)

    def tokens(self, rows: Int[np.ndarray, " image"], first: Int[np.ndarray, " image"], count: int) -> Batch:
        """The call for some tokens of these texts, and of whatever else there is token by token: a mask, say.

        Args:
            rows: which texts.
            first: of each, its first token.
            count: how many tokens, of all the same number.
        """
        xp = array_namespace(self.x)
        of_each = tuple(self.x.shape[:2])

        def cut(value: Any) -> Any:
            if not self._by_row(value):
                return value
            if tuple(value.shape[:2]) != of_each:
                return value[rows]
            pairs = zip(rows.tolist(), first.tolist(), strict=True)
            return xp.stack([value[row, start : start + count] for row, start in pairs])

        return self.others(cut).with_x(cut(self.x))

    def others(self, change: Callable[[Any], Any]) -> Batch:
        """The same call with every other value changed: all but the input that maps are of.

        Args:
            change: from a value to what takes its place. Values inside lists, tuples and dictionaries are given to it
                one by one.
        """
        args = tuple(
            value if place == self.explained_input else _each(value, change)
            for place, value in enumerate(self.args)
        )
        kwargs = {
            name: value if name == self.explained_input else _each(value, change)
            for name, value in self.kwargs.items()
        }
        return dataclasses.replace(self, args=args, kwargs=kwargs)

    def with_x(self, x: Array) -> Batch:
        """The same with another input that maps are of, everything else as it is.

        Args:
            x: as `x` is: `batch channel *space`, or token numbers.
        """
        if not self.of_tokens:
            x = from_usual(x, self._space_axes, len(self.given.shape))
        return self.with_given(x)

    def with_other(self, array: Array, rows: Array) -> Batch:
        """The call for an image with variants of one of its other inputs; everything else goes with each of them.

        Args:
            array: that input, as it is in the call for one image.
            rows: what takes its place, any number of them.
        """
        index = np.zeros(int(rows.shape[0]), dtype=np.int64)

        def put_in(value: Any) -> Any:
            if value is array:
                return rows
            return value[index] if self._by_row(value) else value

        return self.others(put_in).with_x(self.x[index])

    def with_given(self, given: Array) -> Batch:
        """The same with another input that maps are of, its axes as the model takes them."""
        if isinstance(self.explained_input, int):
            args = (*self.args[: self.explained_input], given, *self.args[self.explained_input + 1 :])
            return dataclasses.replace(self, args=args)
        return dataclasses.replace(self, kwargs={**self.kwargs, self.explained_input: given})

    def _by_row(self, value: Any) -> bool:
        """Whether a value belongs to the images row by row."""
        return _is_array(value) and len(value.shape) > 0 and value.shape[0] == len(self)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _if_hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:  # also a tuple of some type of its own that holds a list
        return None
    return value  # type: ignore[no-any-return]


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value changed, or what is inside it where it is a list, a tuple or a mapping."""
    if isinstance(value, Mapping):
        return {key: _each(inner, change) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_each(inner, change) for inner in value)
    return change(value)
