"""Which axes of a model's input are space, and the input with its axes in the usual order."""

from __future__ import annotations

from collections.abc import Sequence

from array_api_compat import array_namespace
from jaxtyping import Shaped

from camscope.arrays import Array
from camscope.errors import InputError


def usual_space(shape: Sequence[int]) -> tuple[int, ...]:
    """All axes behind batch and channel; of an input of two axes, as a waveform is, the one behind the batch.

    Args:
        shape: of the input.
    """
    return (1,) if len(shape) == 2 else tuple(range(2, len(shape)))


def check_space(space: Sequence[int], shape: Sequence[int]) -> None:
    """Refuse axes of space that an input does not have, or that leave more than one axis for its channels.

    Args:
        space: the axes, counted as NumPy does: the batch is 0.
        shape: of the input.

    Raises:
        InputError: saying what they leave.
    """
    axes = range(1, len(shape))
    if not space or len(set(space)) < len(space) or not set(space) <= set(axes):
        raise InputError(
            f"Maps are to be over the axes {tuple(space)} of the input (space=, where 0 is the batch), each named "
            f"once; an input of shape {tuple(shape)} has {', '.join(map(str, axes)) or 'none'} besides the batch."
        )
    rest = [axis for axis in axes if axis not in space]
    if len(rest) > 1:
        raise InputError(
            f"Maps are to be over the axes {tuple(space)} of the input (space=, where 0 is the batch); of shape "
            f"{tuple(shape)} that leaves {' and '.join(map(str, rest))}, and one at most can be its channels."
        )


def to_usual(x: Shaped[Array, "batch ..."], space: Sequence[int]) -> Shaped[Array, "batch channel *space"]:
    """The input as `batch channel *space`: a view. Where it has no channels it gets one.

    Args:
        x: the input as the model takes it.
        space: its axes of space, in the order that maps have them.
    """
    order = _order(x.ndim, space)
    if order != sorted(order):
        x = array_namespace(x).permute_dims(x, tuple(order))
    return x[:, None] if len(order) == len(space) + 1 else x


def from_usual(
    x: Shaped[Array, "batch channel *space"], space: Sequence[int], ndim: int
) -> Shaped[Array, "batch ..."]:
    """The inverse of `to_usual`.

    Args:
        x: an input, `batch channel *space`.
        space: the axes of space of the input that the model takes.
        ndim: how many axes that has.
    """
    order = _order(ndim, space)
    if len(order) == len(space) + 1:
        x = x[:, 0]
    if order == sorted(order):
        return x
    return array_namespace(x).permute_dims(x, tuple(order.index(axis) for axis in range(ndim)))


def where_channels_belong(given: Sequence[int], taken: Sequence[int | None]) -> str:
    """How an input whose channels are out of place is put right; empty if they are not.

    Args:
        given: its shape.
        taken: the shape that the model takes, None where any size will do.
    """
    if len(given) != len(taken) or len(given) < 3:
        return ""
    first, last = given[1] == taken[-1] != given[-1], given[-1] == taken[1] != given[1]
    if first and last:  # a side as long as there are channels: the other axes tell
        first = all(size in (None, other) for size, other in zip(taken[1:-1], given[2:], strict=True))
    if first:
        return " Its channels come first: pass np.moveaxis(x, 1, -1)."
    return " Its channels come last: pass np.moveaxis(x, -1, 1)." if last else ""


def _order(ndim: int, space: Sequence[int]) -> list[int]:
    """The model's axes in the order batch, channel (if there are any), space."""
    return [0, *(axis for axis in range(1, ndim) if axis not in space), *space]
