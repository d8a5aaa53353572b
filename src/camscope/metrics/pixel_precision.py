"""Pixels from maps, over all thresholds: weakly supervised segmentation by average precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from camscope.arrays import Array, scaled, to_numpy
from camscope.errors import InputError
from camscope.metrics.localisation import at_size
from camscope.metrics.measured_maps import Maps, can_be_judged, named_maps
from camscope.metrics.metric import Found, metric
from camscope.metrics.true_regions import masks_in, regions_of


@metric(higher_is_better=True, paper="Choe et al., CVPR 2020, arXiv:2001.07437, PxAP")
def pixel_average_precision(
    maps: Maps,
    masks: Any,
    *,
    ignore: Any = None,
    baselines: Mapping[str, Array] | None = None,
) -> Found:
    """PxAP: Σ_τ precision(τ) · (recall(τ) − recall(τ′)) over the pixels of all images together; one number a target.

    τ goes down through all values of the maps, τ′ is the one before; both are of the whole set, so it must be large and
    the maps scaled alike. Without a map to go by it is the share of pixels inside the masks. A flat or broken map
    finds everything at the last threshold alone.

    Args:
        maps: see `camscope.metrics.measured_maps.Maps`; each is resized to the masks and scaled to [0, 1].
        masks: `batch *size`, booleans, True inside.
        ignore: of the same shape, True at pixels that do not count.
        baselines: maps by name, of `baseline_maps`.

    Raises:
        InputError: if the masks do not fit the maps, or nothing counts.
    """
    named = named_maps(maps, baselines)
    if masks_in(masks) is None:
        raise InputError(
            "Expected masks, an array of the batch × the input's size, True inside. metrics.max_box_accuracy and "
            "metrics.energy_inside take boxes."
        )
    inside = regions_of(masks, None, maps, named)
    counts = ~_ignored(ignore, inside.shape)
    if not (inside & counts).any():
        raise InputError("Every pixel inside the masks is ignored: there is nothing to be found.")

    def precision(own: Float[np.ndarray, " batch *space"]) -> float:
        heat = np.stack([_heat(one, inside.shape[1:]) for one in own])
        return average_precision(heat[counts], inside[counts])

    values = {
        name: np.array([precision(own[:, target]) for target in range(own.shape[1])])
        for name, own in named.maps.items()
    }
    return values, named.baselines


def average_precision(values: Float[np.ndarray, " n"], true: Bool[np.ndarray, " n"]) -> float:
    """The area under precision over recall, by steps; what is equal is found together.

    Args:
        values: of all pixels.
        true: which of them are to be found.
    """
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    hits = np.cumsum(true[order])[ends]
    precision, recall = hits / (ends + 1), hits / true.sum()
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def _heat(one: Float[np.ndarray, "*space"], size: tuple[int, ...]) -> Float[np.ndarray, "*size"]:
    if not can_be_judged(one):
        return np.zeros(size)
    return np.asarray(scaled(at_size(one, size)[None, None])[0, 0])


def _ignored(given: Any, shape: tuple[int, ...]) -> Bool[np.ndarray, " batch *size"]:
    if given is None:
        return np.zeros(shape, bool)
    ignored = np.asarray(to_numpy(given))
    if ignored.shape != shape or ignored.dtype != bool:
        raise InputError(
            f"ignore has the shape {ignored.shape} and holds {ignored.dtype}: expected booleans of the masks' shape, "
            f"{shape}."
        )
    return ignored
