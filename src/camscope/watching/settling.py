"""How looking settles: how like the last map each map is, and how much of it lies where it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.arrays import resize
from camscope.errors import InputError
from camscope.watching.heat import displayed
from camscope.watching.records import Records
from camscope.watching.watched_samples import Samples

SETTLED = 0.9
"""Maps this like the last one count as settled."""


@dataclass(frozen=True, eq=False)
class Settling:
    """How looking settled.

    Attributes:
        steps: how many optimiser steps were done.
        similarity: the cosine between each map and the last one of its sample and target, both as they are shown
            (evidence against left out where the method says so): 1 if they are the same but for a factor. NaN where one
            of them is zero.
        mass: the share of each heatmap inside of the region; None if there was none; NaN where a map is zero.
        pointing: whether the heatmap's maximum lies in the region, 1 or 0 (the pointing game of Zhang et al., IJCV
            2018, arXiv:1608.00507); None and NaN likewise.
    """

    steps: Int[np.ndarray, " step"]
    similarity: Float[np.ndarray, "step sample target"]
    mass: Float[np.ndarray, "step sample target"] | None = None
    pointing: Float[np.ndarray, "step sample target"] | None = None

    @property
    def settled(self) -> int | None:
        """The first step from which on the mean similarity is above 0.9; None if only the last map is like itself."""
        above = mean_over(self.similarity) > SETTLED
        if len(above) < 2 or not above[-2:].all():
            return None
        below = np.flatnonzero(~above)
        return int(self.steps[below[-1] + 1 if below.size else 0])


def settling(
    records: Records,
    *,
    box: Sequence[float] | Sequence[Sequence[float]] | None = None,
    mask: Any = None,
) -> Settling:
    """How looking settles over the training.

    Args:
        records: what was kept.
        box: where the map should be: x0, y0, x1, y1 in pixels of the model's input, the ends exclusive; or one such box
            for each sample.
        mask: the same as an array `height width`, or one for each sample; true where the map should be.

    Raises:
        InputError: if both are given, or one does not fit the input.
    """
    maps = displayed(records.maps, records.samples).astype(np.float64)
    similarity = _cosine(maps, maps[-1])
    region = _region(records.samples, box, mask)
    if region is None:
        return Settling(records.steps, similarity)
    steps, samples, targets = maps.shape[:3]
    large = resize(maps.reshape(steps * samples, targets, *maps.shape[3:]), records.samples.input_size)
    heat = np.abs(large).reshape(steps, samples, targets, -1)
    inside = region.reshape(1, samples, 1, -1)
    total = heat.sum(axis=-1)
    nothing = total == 0
    with np.errstate(invalid="ignore"):
        mass = (heat * inside).sum(axis=-1) / total
    peaks = np.broadcast_to(inside, heat.shape)
    found = np.take_along_axis(peaks, heat.argmax(axis=-1, keepdims=True), axis=-1)[..., 0]
    return Settling(records.steps, similarity, mass, np.where(nothing, np.nan, found))


def mean_over(values: Float[np.ndarray, "step sample target"]) -> Float[np.ndarray, " step"]:
    """The mean over samples and targets of what is there; NaN where nothing is."""
    there = np.isfinite(values)
    count = there.sum(axis=(1, 2))
    total = np.where(there, values, 0).sum(axis=(1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _cosine(
    maps: Float[np.ndarray, "step sample target *space"], last: Float[np.ndarray, "sample target *space"]
) -> Float[np.ndarray, "step sample target"]:
    flat, end = maps.reshape(*maps.shape[:3], -1), last.reshape(*last.shape[:2], -1)
    lengths = np.linalg.norm(flat, axis=-1) * np.linalg.norm(end, axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray((flat * end).sum(axis=-1) / np.where(lengths > 0, lengths, np.nan))


def _region(samples: Samples, box: Any, mask: Any) -> Bool[np.ndarray, " sample *size"] | None:
    if box is not None and mask is not None:
        raise InputError("A box and a mask were given: give one of both.")
    if box is not None:
        return _of_boxes(samples, box)
    return None if mask is None else _of_mask(samples, np.asarray(mask))


def boxes_for(samples: Samples, box: Any) -> Float[np.ndarray, "sample 4"]:
    """A box for each sample.

    Args:
        samples: the samples.
        box: one, or one for each; see `settling`.

    Raises:
        InputError: if it is none, or does not lie in the input.
    """
    size, boxes = samples.input_size, np.asarray(box, dtype=float)
    if len(size) != 2 or boxes.shape not in ((4,), (len(samples), 4)):
        raise InputError(
            f"box has shape {boxes.shape}: expected x0, y0, x1, y1, or that for each of {len(samples)} samples"
            f"{'' if len(size) == 2 else '; and these inputs have no height and width, so give a mask'}."
        )
    boxes = np.broadcast_to(boxes, (len(samples), 4))
    for x0, y0, x1, y1 in boxes:
        if not (0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]):
            raise InputError(
                f"The box {x0:g},{y0:g},{x1:g},{y1:g} is none in an input {size[1]} wide and {size[0]} high: expected "
                "x0 < x1 and y0 < y1 inside of it, in pixels of the model's input."
            )
    return boxes


def _of_boxes(samples: Samples, box: Any) -> Bool[np.ndarray, "sample height width"]:
    region = np.zeros((len(samples), *samples.input_size), dtype=bool)
    for here, (x0, y0, x1, y1) in zip(region, boxes_for(samples, box), strict=True):
        here[round(y0) : max(round(y1), round(y0) + 1), round(x0) : max(round(x1), round(x0) + 1)] = True
    return region


def _of_mask(samples: Samples, mask: np.ndarray) -> Bool[np.ndarray, " sample *size"]:
    size = samples.input_size
    if mask.shape not in (size, (len(samples), *size)):
        raise InputError(
            f"The mask has shape {mask.shape}: expected {size}, as the model's input, or {(len(samples), *size)} with "
            "one for each sample."
        )
    region = np.broadcast_to(mask.astype(bool), (len(samples), *size))
    if not region.reshape(len(samples), -1).any(axis=-1).all():
        raise InputError("The mask is empty: nothing could lie inside of it.")
    return region
