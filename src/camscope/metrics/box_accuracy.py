"""Boxes from maps, over all thresholds: the metric of weakly supervised object localisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import Array, Box, Components, boxes_of, scaled
from camscope.errors import InputError
from camscope.metrics.localisation import at_size
from camscope.metrics.measured_maps import Maps, can_be_judged, named_maps
from camscope.metrics.metric import Values, metric
from camscope.metrics.true_regions import check_size, check_size_of_input, image_boxes

_LEVELS = 255
"""Maps are cut at whole levels from 0 to 254, as the authors' code does, which makes bytes of them."""


@metric(higher_is_better=True, paper="Choe et al., CVPR 2020, arXiv:2001.07437; TPAMI 2022, arXiv:2007.04178")
def max_box_accuracy(
    maps: Maps,
    boxes: Any,
    *,
    size: Sequence[int],
    overlaps: Sequence[float] = (0.3, 0.5, 0.7),
    components: Components = "all",
    baselines: Mapping[str, Array] | None = None,
) -> tuple[Values, tuple[str, ...]]:
    """MaxBoxAccV2: mean over δ of max over τ of the share of images with IoU(box(M > τ), a true box) ≥ δ; by target.

    One number for the whole set, since the threshold τ is the same for all images: choose it on other images than
    those it is reported on, or say that it was not. A map that cannot be judged finds nothing. With overlaps=(0.5,)
    and components="largest" it is MaxBoxAcc, version 1. Boxes are compared as areas, and made of connected components;
    the authors' code counts one pixel more along each side, and takes the contours of holes too.

    Args:
        maps: see `camscope.metrics.measured_maps.Maps`; each is resized to the input and scaled to [0, 1].
        boxes: for each image a box or a list of boxes, (x0, y0, x1, y1) in pixels of the input.
        size: of the model's input, in pixels.
        overlaps: the least intersection over union that counts, δ.
        components: whether the boxes of all components are tried at a threshold, or that of the largest.
        baselines: maps by name, of `baseline_maps`.

    Raises:
        InputError: if the boxes do not fit the maps or the input.
    """
    if not overlaps or not all(0 < one <= 1 for one in overlaps):
        raise InputError(
            f"overlaps={tuple(overlaps)}: expected shares above 0 and up to 1, such as (0.3, 0.5, 0.7)."
        )
    if components not in ("largest", "all"):
        raise InputError(f"components={components!r}: expected 'largest' or 'all'.")
    named = named_maps(maps, baselines)
    check_size(size)
    true = image_boxes(boxes, size, named.batch)
    check_size_of_input(size, maps)

    def accuracy(own: Float[np.ndarray, "batch target *space"], target: int) -> float:
        best = np.array(
            [best_overlaps(one[target], t, size, components) for one, t in zip(own, true, strict=True)]
        )
        return float(np.mean([(best >= one).mean(0).max() for one in overlaps]))

    values = {
        name: np.array([accuracy(own, target) for target in range(own.shape[1])])
        for name, own in named.maps.items()
    }
    return values, named.baselines


def best_overlaps(
    one: Float[np.ndarray, "*space"], true: Sequence[Box], size: Sequence[int], components: Components
) -> Float[np.ndarray, " level"]:
    """The largest IoU of a box of the map with a true box, at each threshold.

    Args:
        one: a map.
        true: the boxes of its image.
        size: of the model's input.
        components: see `max_box_accuracy`.
    """
    best = np.zeros(_LEVELS)
    if not can_be_judged(one):
        return best
    levels = np.floor(_LEVELS * scaled(at_size(one, size)[None, None])[0, 0])
    found = 0.0
    present = set(np.unique(levels).tolist())
    for level in range(_LEVELS):
        if level == 0 or level in present:  # else nothing has left since the last level
            own = boxes_of(levels > level)
            own = own[:1] if components == "largest" else own
            found = max(overlap(box, other) for box in own for other in true)
        best[level] = found
    return best


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, as areas: starts, then ends (exclusive)."""
    axes = len(a) // 2
    starts, ends = np.maximum(a[:axes], b[:axes]), np.minimum(a[axes:], b[axes:])
    both = float(np.prod(np.maximum(ends - starts, 0)))
    areas = [float(np.prod(np.subtract(box[axes:], box[:axes]))) for box in (a, b)]
    return both / (sum(areas) - both)
