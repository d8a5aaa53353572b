"""Along which directions in an image's activations a score is followed, and how far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_CHANNEL_STEP, _POSITION_STEP = 0.0002, 0.001
"""Steps in single precision, as shares of the RMS of an image's activations: along one of K channels √K times the
first, since whatever is computed of all channels moves by about 1/√K of that. A smaller step meets fewer kinks (of a
ReLU) and more rounding; these left least error at four layers of EfficientNet-Lite0, of 40 to 320 channels."""

_DOUBLE_STEP = 1e-6
"""In double precision there is next to no rounding."""

_LARGEST_SHARE = 0.3
"""Of weak activations a step along themselves takes at most this share, so that it does not turn their sign."""


@dataclass(frozen=True)
class Moves:
    """Directions in the activations of one image: each moves some of them, and no two move the same.

    A direction in which activations rest at the corners of clamps comes in two parts, where the flat sides of these
    corners lie to both sides of it: of no single step up or down all of them would be on their flat sides.

    Attributes:
        steps: how far to go along each part.
        build: some of the parts, by their numbers.
        flat: the side on which activations that rest at a corner are on its flat side: 1 up, −1 down; 0 if none rests.
        of: the number of the direction that each part belongs to. The first part of each has its own number;
            it has two at most.
    """

    steps: Float[np.ndarray, " part"]
    build: Callable[[Int[np.ndarray, " some"]], Float[np.ndarray, "some channel *space"]]
    flat: Int[np.ndarray, " part"]
    of: Int[np.ndarray, " part"]

    @property
    def count(self) -> int:
        """How many parts there are."""
        return len(self.steps)

    def together(self, values: Float[np.ndarray, "target part"]) -> Float[np.ndarray, "target direction"]:
        """The sum over the parts of each direction."""
        directions = int(self.of.max(initial=-1)) + 1
        found = values[:, :directions].copy()
        found[:, self.of[directions:]] += values[:, directions:]
        return found


def evenly(one: Float[np.ndarray, " channel *space"]) -> Moves:
    """One channel, all positions alike, for each channel of an image's activations."""
    steps = np.full(len(one), _channel_step(one) * (_rms(one) or 1.0))
    return _moves(one, _channels_of(one), np.ones_like(one), steps)


def by_channel(one: Float[np.ndarray, " channel *space"]) -> Moves:
    """The activations of one channel, for each."""
    return _moves(one, _channels_of(one), one, _shares(one.reshape(len(one), -1), _channel_step(one)))


def by_position(one: Float[np.ndarray, " channel *space"]) -> Moves:
    """The activations of all channels at one position, for each."""
    space = one.shape[1:]
    step = _DOUBLE_STEP if one.dtype == np.float64 else _POSITION_STEP
    numbers = np.arange(int(np.prod(space))).reshape(1, *space)
    return _moves(one, numbers, one, _shares(one.reshape(len(one), -1).T, step))


def _moves(
    one: Float[np.ndarray, " channel *space"],
    numbers: Int[np.ndarray, " *broadcastable"],
    values: Float[np.ndarray, " channel *space"],
    steps: Float[np.ndarray, " direction"],
) -> Moves:
    """Directions, in parts where that is needed.

    Args:
        one: the activations.
        numbers: of the direction that moves each activation.
        values: how far it moves each.
        steps: how far to go along each direction.
    """
    numbers, flat = np.broadcast_to(numbers, one.shape), _flat_sides(one) * np.sign(values)
    up, down = (np.bincount(numbers[flat == side], minlength=len(steps)) > 0 for side in (1, -1))
    both = np.flatnonzero(up & down)
    if len(both):
        second = np.arange(len(steps))
        second[both] = len(steps) + np.arange(len(both))
        numbers = np.where(flat == 1, second[numbers], numbers)
    of = np.concatenate([np.arange(len(steps)), both])
    sides = np.concatenate([np.where(down, -1, np.where(up, 1, 0)), np.ones_like(both)])
    return Moves(steps[of], lambda some: _only(some, numbers, values), sides, of)


def _flat_sides(one: Float[np.ndarray, " channel *space"]) -> Int[np.ndarray, " channel *space"]:
    """To which side of an activation a clamp that it rests at would be flat: 1 above, −1 below; 0 where none rests.

    Where activations were clamped before, they rest at its limits: several are exactly the largest or the least of
    all. Zero is where ReLUs have their corner.
    """
    top, bottom = (one == limit if (one == limit).sum() > 1 else False for limit in (one.max(), one.min()))
    sides: np.ndarray = np.where(bottom | (one == 0), -1, np.where(top, 1, 0))
    return sides


def _channels_of(one: Float[np.ndarray, " channel *space"]) -> Int[np.ndarray, " channel *ones"]:
    """The number of the channel of each element."""
    return np.arange(len(one)).reshape(-1, *(1,) * (one.ndim - 1))


def _only(
    some: Int[np.ndarray, " some"],
    numbers: Int[np.ndarray, " channel *space"],
    values: Float[np.ndarray, " channel *space"],
) -> Float[np.ndarray, "some channel *space"]:
    """The values of one part each (by its number in `numbers`), zero elsewhere."""
    own: np.ndarray = (some.reshape(-1, *(1,) * numbers.ndim) == numbers) * values
    return own


def _channel_step(one: Float[np.ndarray, " channel *space"]) -> float:
    return _DOUBLE_STEP if one.dtype == np.float64 else _CHANNEL_STEP * len(one) ** 0.5


def _shares(parts: Float[np.ndarray, "direction element"], step: float) -> Float[np.ndarray, " direction"]:
    """The share of each part of the activations whose RMS is that of `step` of all of them."""
    own = np.sqrt((parts.astype(np.float64) ** 2).mean(axis=1))
    wanted = step * _rms(parts) / np.where(own > 0, own, 1)
    share: np.ndarray = np.where(own > 0, np.minimum(wanted, _LARGEST_SHARE), _LARGEST_SHARE)
    return share


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values.astype(np.float64) ** 2).mean()))
