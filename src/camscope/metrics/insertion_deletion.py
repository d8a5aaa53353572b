"""Insertion and deletion: the probability while pixels come, or go, in the order of the map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import Array
from camscope.errors import InputError
from camscope.imputing import Blur, Constant, Imputer
from camscope.metrics.answers import measured_by_altering
from camscope.metrics.explains import Explains
from camscope.metrics.measured_maps import Maps
from camscope.metrics.metric import Values, metric
from camscope.metrics.removal_order import Order, by_pixels, removing_in_order
from camscope.targets import TargetsLike

_PAPER = "Petsiuk et al. (RISE), BMVC 2018, arXiv:1806.07421"
_MEAN_COLOUR = Constant(0.0)
_BLURRED = Blur(sigma=5.0, radius=5)


@metric(higher_is_better=False, paper=_PAPER, cost="steps + 1 (225)")
def deletion(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    steps: int = 224,
    imputer: Imputer = _MEAN_COLOUR,
    baselines: Mapping[str, Array] | None = None,
    seed: int = 0,
) -> tuple[Values, tuple[str, ...]]:
    """Area under the probability while pixels are removed, the most relevant first, from none to all.

    As in RISE's code the map is resized to the input, 224 steps are as many pixels each, removed is zero in the
    model's input (the mean colour), and the area is by trapezoids. Pixels that are equal in the map are ordered by a
    draw, where that code takes them by their place. By itself it contradicts other metrics: prefer `srg`.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`.
        maps: see `camscope.metrics.measured_maps.Maps`; of these targets.
        targets: see `camscope.Explainer.__call__`: those that the maps are of.
        steps: how many steps there are from none to all.
        imputer: what is put in place of removed pixels.
        baselines: maps by name, of `baseline_maps`.
        seed: of the draw that orders what is equal in a map.

    Raises:
        InputError: if maps and inputs do not fit.
    """
    shares = np.linspace(0, 1, _checked(steps) + 1)
    alter = removing_in_order(shares, imputer, by_pixels, seed, Order.first)
    return measured_by_altering(
        explainer, inputs, maps, targets=targets, baselines=baselines, alter=alter, reduce=_area
    )


@metric(higher_is_better=True, paper=_PAPER, cost="steps + 1 (225)")
def insertion(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    steps: int = 224,
    imputer: Imputer = _BLURRED,
    baselines: Mapping[str, Array] | None = None,
    seed: int = 0,
) -> tuple[Values, tuple[str, ...]]:
    """Area under the probability while the pixels of a blurred input are put back, the most relevant first.

    The blur is RISE's, 11 pixels wide with σ = 5, at the edges mirrored where that code fills with zeros; all else is
    as in `deletion`.

    Args:
        explainer: see `deletion`.
        inputs: see `deletion`.
        maps: see `deletion`.
        targets: see `deletion`.
        steps: see `deletion`.
        baselines: see `deletion`.
        seed: see `deletion`.
        imputer: makes the input that one starts from; `Neighbours` cannot, to which something must be left.

    Raises:
        InputError: if maps and inputs do not fit.
    """
    shares = np.linspace(0, 1, _checked(steps) + 1)
    alter = removing_in_order(shares, imputer, by_pixels, seed, lambda order, some: ~order.first(some))
    return measured_by_altering(
        explainer, inputs, maps, targets=targets, baselines=baselines, alter=alter, reduce=_area
    )


def _area(said: Float[np.ndarray, " copy"], clean: float) -> float:
    """By trapezoids, over a length of 1."""
    return float((said[1:] + said[:-1]).mean() / 2)


def _checked(steps: int) -> int:
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise InputError(f"steps={steps!r}: expected how many steps there are from none to all, such as 224.")
    return int(steps)
