"""Positions of another input than the one that maps are of: the words of a decoder are no places of the sound.

A layer along such positions answers to an altered patch of the main input too, and of few positions one or two always
answer a little more on the left. So the other input is altered as well, and it is seen which of both a layer follows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj
from jaxtyping import Shaped

from camscope.arrays import Array, from_numpy, to_numpy
from camscope.models.batch import Batch
from camscope.models.grid import Grid
from camscope.models.place import AGREES, Answer, with_altered_copies

_SHARE = 1 / 2
"""A layer that answers to another input in place is one of that input's positions, if its slope for the main input is
less than this share of that for the other. Measured on small encoders with decoders of 2 to 8 words, their weights as
drawn or four times as large: all 208 layers of decoders that agreed with the main input had less; of 1,646 layers of a
text's own tokens, whose kinds or places are another input, six had."""


@dataclass(frozen=True, eq=False)
class OtherInput:
    """Another input of one image, along one axis.

    Attributes:
        rows: the call for the image as it is, and for it with altered patches of the other input.
        positions: how many that input has along the axis.
    """

    rows: Batch
    positions: int


def other_inputs(image: Batch, spaces: Collection[tuple[int, ...]]) -> list[OtherInput]:
    """The further inputs along which as many positions stand as along a grid that was found.

    Masks of the image's own positions, and which of two kinds each of them is, are left out.

    Args:
        image: a batch of one.
        spaces: of the grids.
    """
    arrays: list[Array] = []

    def note(value: Any) -> Any:
        if (
            is_array_api_obj(value)
            and value.ndim in (2, 3)
            and value.shape[0] == 1
            and not _marks(value, image)
        ):
            arrays.append(value)
        return value

    image.others(note)
    return [
        OtherInput(image.with_other(array, _rows(array, axis)), int(array.shape[axis]))
        for array in arrays
        for axis in _axes(array)
        if (int(array.shape[axis]),) in spaces and array.shape[axis] > 1
    ]


def without_others(grid: Grid, own: Answer, others: Sequence[tuple[int, Answer]]) -> Grid | None:
    """The grid that was found of a layer; None if its positions are those of another input.

    Args:
        grid: as it was found by the main input.
        own: how the layer answers to altered patches of that.
        others: how it answers to each of the other inputs, with how many positions that has.
    """
    for positions, other in others:
        in_place = grid.space == (positions,) and other.changed and other.agreement(grid) >= AGREES
        if in_place and own.slope(grid) < _SHARE * other.slope(grid):
            return None
    return grid


def _axes(array: Array) -> range:
    """Along which axes an input may have positions: of whole numbers, one for each token, along the last one."""
    return range(1, array.ndim if _is_real(array) or array.ndim == 2 else 1)


def _is_real(array: Array) -> bool:
    return "float" in str(array.dtype)


def _marks(array: Array, image: Batch) -> bool:
    """Whether it marks the positions of what maps are of, each of them with 0 or 1."""
    of_each = array.ndim == 2 and int(array.shape[1]) in image.space
    return of_each and bool(((array == 0) | (array == 1)).all())


def _rows(array: Shaped[Array, "one ..."], axis: int) -> Shaped[Array, "row ..."]:
    """The input as it is, and with altered patches along one of its axes."""
    if not _is_real(array):
        values = to_numpy(array)
        rows = with_altered_copies(values.astype(np.int64), tokens=True)
        return from_numpy(rows.astype(values.dtype), array)
    xp = array_namespace(array)
    values = np.moveaxis(to_numpy(xp.astype(array, xp.float32)), axis, -1)
    rows = with_altered_copies(values.reshape(1, -1, values.shape[-1]))
    return from_numpy(np.moveaxis(rows.reshape(-1, *values.shape[1:]), -1, axis), array)
