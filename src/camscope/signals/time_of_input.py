"""At which place of a model's input a moment of a sound lies: found in numbers, by clicks at known times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from camscope.errors import ModelError

Prepare: TypeAlias = Callable[[Float[np.ndarray, " time"]], Float[np.ndarray, " ..."]]
"""Makes a model's input, without a batch, of one sound."""

_APART = 0.16
"""The mean distance of two clicks in seconds, so that no window has two of them."""
_ENOUGH = 10.0
"""The length of a sound in seconds, by whose clicks the distance of two steps is known exactly."""
_NEARLY_WHOLE = 0.003
"""A hop that lies so near to a whole number of samples, as a share of it, is that number."""


@dataclass(frozen=True)
class TimeOfInput:
    """Where sample s of a sound lies along an input's axis of time: at `scale · (s + ½) + offset`.

    Attributes:
        scale: steps of the input for one sample.
        offset: where the first sample begins.
        reach: how far beyond the edges of the input a sample may lie and still change its first or last step.
    """

    scale: float
    offset: float
    reach: float = 0.0


def time_of_input(prepare: Prepare, axis: int, length: int, rate: float) -> TimeOfInput:
    """Find it by what clicks at uneven times change in the input, compared with silence.

    Each click changes a few neighbouring steps. Their middles are held against the times of the clicks, and a straight
    line through all of them is the answer. Where the input ends before the sound does, the first clicks count, or the
    last ones if the input begins later. How far a step is from the next one is found on a long sound, and where the
    first one is on one that is as long as the sound in question, since padding may be in front.

    Args:
        prepare: makes the model's input, without a batch, of one sound.
        axis: of time, in that input.
        length: how long the sound is, in samples.
        rate: samples per second.

    Raises:
        ModelError: if the clicks do not lie on a line, so that nobody knows what a map is over.
    """
    enough = round(_ENOUGH * rate)
    line = _line(prepare, axis, max(length, enough), rate)
    if length < enough:
        line = _line(prepare, axis, max(length, round(rate)), rate, line.scale)
    return line


def _line(prepare: Prepare, axis: int, length: int, rate: float, scale: float | None = None) -> TimeOfInput:
    """The line through the clicks of a sound of one length; with its scale, if that is known."""
    times = _times(length, rate)
    clicks, silence = np.zeros(length, np.float32), np.zeros(length, np.float32)
    clicks[times] = 1
    response = np.abs(prepare(clicks) - prepare(silence))
    profile = response.sum(axis=tuple(a for a in range(response.ndim) if a != axis))
    found, widest = _middles(profile)
    count = min(len(found), len(times))
    if count == len(found) and count > 1:
        lines = [_fitted(some, found, scale) for some in (times[:count], times[len(times) - count :])]
        line, error = min(lines, key=lambda one: one[1])
        if error <= 1:
            return replace(line, reach=(widest - 1) / 2)
    raise ModelError(
        "Where a moment of a sound lies in this model's input was not found: clicks at known times do not show there "
        "one by one. Give the input as the feature extractor makes it, a tensor; maps are of its steps then."
    )


def _times(length: int, rate: float) -> Int[np.ndarray, " click"]:
    count = max(2, int(length / (_APART * rate)))
    even = (np.arange(count) + 0.5) / count * length
    # moved by up to a quarter of their distance, unevenly: so that the clicks are told apart, and fall everywhere
    moved = even + (np.modf(np.arange(1, count + 1) * 0.618)[0] - 0.5) * length / count / 2
    return np.asarray(moved, dtype=np.int64)


def _middles(profile: Float[np.ndarray, " step"]) -> tuple[Float[np.ndarray, " click"], int]:
    """The middle of each run of steps that change by at least half of the largest change, and the longest run."""
    if not profile.max() > 0:
        return np.zeros(0), 1
    high = np.concatenate([[False], profile >= profile.max() / 2, [False]])
    edges = np.flatnonzero(np.diff(high.astype(np.int8)))
    starts, stops = edges[0::2], edges[1::2]
    return (starts + stops) / 2, int((stops - starts).max())


def _fitted(
    times: Int[np.ndarray, " click"], found: Float[np.ndarray, " click"], scale: float | None
) -> tuple[TimeOfInput, float]:
    """The line through clicks and what they change, and by how many steps it misses one at most."""
    centres = times + 0.5
    if scale is None:
        scale = float(np.polyfit(centres, found, 1)[0])
        whole = round(1 / scale) if scale > 0 else 0
        if whole and abs(whole * scale - 1) < _NEARLY_WHOLE:
            scale = 1 / whole
    offset = float(np.mean(found - scale * centres))
    return TimeOfInput(scale, offset), float(np.abs(scale * centres + offset - found).max())
