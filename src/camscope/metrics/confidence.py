"""Metrics of what the model says of the input seen through its own map: x ⊙ heatmap. Never to be used alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array, from_numpy, resize, scaled
from camscope.errors import InputError
from camscope.evidence import Variants
from camscope.imputing import is_presence
from camscope.metrics.answers import Reduce, measured_by_altering
from camscope.metrics.explains import Explains
from camscope.metrics.measured_maps import Maps
from camscope.metrics.metric import Values, metric
from camscope.targets import TargetsLike

_GRAD_CAM_PLUS_PLUS = "Chattopadhay et al. (Grad-CAM++), WACV 2018, arXiv:1710.11063"


@metric(higher_is_better=False, paper=_GRAD_CAM_PLUS_PLUS, cost="1")
def average_drop(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    rectify: bool = True,
    baselines: Mapping[str, Array] | None = None,
) -> tuple[Values, tuple[str, ...]]:
    """max(0, p − o) / p, p the probability of the class and o the same of x ⊙ heatmap; its mean is the average drop.

    A map that is 1 everywhere but at one pixel has nearly 0 (Poppi et al. 2021): look at `average_gain` and
    `complexity` beside it. The papers give it in per cent. What is masked becomes zero in the model's input.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`.
        maps: see `camscope.metrics.measured_maps.Maps`; they are resized to the input and scaled to [0, 1].
        targets: see `camscope.Explainer.__call__`: those that the maps are of.
        rectify: whether evidence against is set to zero first, as in a heatmap.
        baselines: maps by name, of `baseline_maps`.

    Raises:
        InputError: if maps and inputs do not fit, or the model gives no probabilities.
    """
    return _seen_through(explainer, inputs, maps, targets, rectify, baselines, _drop)


@metric(higher_is_better=True, paper=_GRAD_CAM_PLUS_PLUS, cost="1")
def average_increase(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    rectify: bool = True,
    baselines: Mapping[str, Array] | None = None,
) -> tuple[Values, tuple[str, ...]]:
    """1 where o > p, else 0; its mean is the increase in confidence. `average_gain` says how much it is.

    Args:
        explainer: see `average_drop`.
        inputs: see `average_drop`.
        maps: see `average_drop`.
        targets: see `average_drop`.
        rectify: see `average_drop`.
        baselines: see `average_drop`.

    Raises:
        InputError: as `average_drop` does.
    """
    return _seen_through(
        explainer, inputs, maps, targets, rectify, baselines, lambda said, p: float(said[0] > p)
    )


@metric(higher_is_better=True, paper="Zhang et al. (Opti-CAM), CVIU 2024, arXiv:2301.07002", cost="1")
def average_gain(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    rectify: bool = True,
    baselines: Mapping[str, Array] | None = None,
) -> tuple[Values, tuple[str, ...]]:
    """max(0, o − p) / (1 − p); its mean is the average gain. 0 where p is 1, and there is nothing to gain.

    Args:
        explainer: see `average_drop`.
        inputs: see `average_drop`.
        maps: see `average_drop`.
        targets: see `average_drop`.
        rectify: see `average_drop`.
        baselines: see `average_drop`.

    Raises:
        InputError: as `average_drop` does.
    """
    return _seen_through(explainer, inputs, maps, targets, rectify, baselines, _gain)


def adcc(drop: float, coherency: float, complexity: float) -> float:
    """3 / (1 / coherency + 1 / (1 − complexity) + 1 / (1 − drop)), higher is better (Poppi et al., CVPRW 2021).

    The harmonic mean of three means over a set; 0 if one of the three is as bad as can be.

    Args:
        drop: the mean of `average_drop`.
        coherency: the mean of `coherency`.
        complexity: the mean of `complexity`.

    Raises:
        InputError: if one does not lie in [0, 1].
    """
    given = {"drop": drop, "coherency": coherency, "complexity": complexity}
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise InputError(f"{name}={value!r}: expected a mean in [0, 1], and no per cent.")
    parts = (coherency, 1 - complexity, 1 - drop)
    return 0.0 if min(parts) == 0 else float(3 / sum(1 / part for part in parts))


def _seen_through(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    targets: TargetsLike,
    rectify: bool,
    baselines: Mapping[str, Array] | None,
    reduce: Reduce,
) -> tuple[Values, tuple[str, ...]]:
    def alter(x: Array, one: Float[np.ndarray, "*space"]) -> tuple[int, Variants]:
        if is_presence(x):
            raise InputError(
                "A word of a text is there or not, and cannot be seen through a heatmap. metrics.srg, deletion and "
                "insertion leave words out."
            )
        heat = scaled(resize(one[None, None], x.shape[2:]), rectify=rectify)

        def variants(some: Int[np.ndarray, " chunk"]) -> Float[Array, "chunk channel *size"]:
            return x * from_numpy(heat, like=x)  # there is one copy, so one chunk

        return 1, variants

    return measured_by_altering(
        explainer,
        inputs,
        maps,
        targets=targets,
        baselines=baselines,
        alter=alter,
        reduce=reduce,
        of_probabilities=True,
    )


def _drop(said: Float[np.ndarray, " copy"], p: float) -> float:
    lost = max(0.0, p - float(said[0]))
    return lost / p if lost else 0.0


def _gain(said: Float[np.ndarray, " copy"], p: float) -> float:
    won = max(0.0, float(said[0]) - p)
    return won / (1 - p) if won else 0.0
