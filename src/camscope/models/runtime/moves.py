"""Along which directions in an image's activations a score is followed, and how far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

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
    """Directions in the activations of one image.

    Attributes:
        steps: how far to go along each.
        build: some of them, by their numbers.
        at_zero: whether each moves activations that are exactly zero.
    """

    steps: Float[np.ndarray, " direction"]
    build: Callable[[Int[np.ndarray, " some"]], Float[np.ndarray, "some channel *space"]]
    at_zero: Bool[np.ndarray, " direction"]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.steps)


def evenly(one: Float[np.ndarray, " channel *space"]) -> Moves:
    """One channel, all positions alike, for each channel of an image's activations."""
    like = np.ones_like(one)
    return Moves(
        np.full(len(one), _channel_step(one) * (_rms(one) or 1.0)),
        lambda numbers: _only(numbers, _channels_of(one), like),
        (one == 0).reshape(len(one), -1).any(axis=1),
    )


def by_channel(one: Float[np.ndarray, " channel *space"]) -> Moves:
    """The activations of one channel, for each."""
    steps = _shares(one.reshape(len(one), -1), _channel_step(one))
    return Moves(
        steps,
        lambda numbers: _only(numbers, _channels_of(one), one),
        np.zeros(len(steps), dtype=bool),
    )


def by_position(one: Float[np.ndarray, " channel *space"]) -> Moves:
    """The activations of all channels at one position, for each."""
    space = one.shape[1:]
    step = _DOUBLE_STEP if one.dtype == np.float64 else _POSITION_STEP
    steps = _shares(one.reshape(len(one), -1).T, step)
    return Moves(
        steps,
        lambda numbers: _only(numbers, np.arange(int(np.prod(space))).reshape(1, *space), one),
        np.zeros(len(steps), dtype=bool),
    )


def _channels_of(one: Float[np.ndarray, " channel *space"]) -> Int[np.ndarray, " channel *ones"]:
    """The number of the channel of each element."""
    return np.arange(len(one)).reshape(-1, *(1,) * (one.ndim - 1))


def _only(
    numbers: Int[np.ndarray, " some"],
    parts: Int[np.ndarray, " *broadcastable"],
    values: Float[np.ndarray, " channel *space"],
) -> Float[np.ndarray, "some channel *space"]:
    """The values of one part each (by its number in `parts`), zero elsewhere."""
    own: np.ndarray = (numbers.reshape(-1, *(1,) * parts.ndim) == parts) * values
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
