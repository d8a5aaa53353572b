"""The bootstrap over images, or over groups of images: bias-corrected and accelerated.

The percentile bootstrap is too liberal below some 50 images, and its error is one-sided where values are skewed; BCa
corrects for both (Efron, JASA 1987; Efron & Tibshirani 1993, chapter 14). That both are too narrow by √((n − 1) / n),
and know no t, is put right as Hesterberg does (The American Statistician 2015, arXiv:1411.5279: expanded percentiles).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from camscope.errors import InputError
from camscope.trust.verdict import Interval

Side = Literal["both", "below"]
"""Which ends an interval has: both, or only the lower one."""

_DRAWS = 2000
_AT_A_TIME = 2**22
"""Counts of drawn units that are held at a time."""


def bca_intervals(
    values: Float[np.ndarray, "unit what"],
    *,
    groups: Sequence[Any] | None = None,
    level: float = 0.95,
    side: Side = "both",
    draws: int = _DRAWS,
    seed: int = 0,
) -> list[Interval]:
    """Intervals of means over images, all from the same draws.

    Args:
        values: one row for each image, one column for each mean.
        groups: what each image belongs to, such as a patient: then whole groups are drawn, and the mean stays that over
            images. None draws images.
        level: the share of cases in which the interval is to hold the mean.
        side: `below` gives the lower bound only: the upper end is ∞.
        draws: how often the images are drawn anew.
        seed: of the draws.

    Returns:
        An interval for each column. Of one image or one group nothing is known: its ends are −∞ and ∞.

    Raises:
        InputError: if there is no value, one is not finite, or there are not as many groups as images.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise InputError(f"A bootstrap is of finite values, image by image; got the shape {values.shape}.")
    if groups is not None and len(groups) != len(values):
        raise InputError(f"{len(groups)} groups for {len(values)} images: expected one for each.")
    sums, sizes = _by_group(values, groups)
    means = values.mean(0)
    if len(sums) < 2:
        return [Interval(float(mean), -math.inf, math.inf, level) for mean in means]
    drawn = _drawn(sums, sizes, draws, seed)
    left_out = (sums.sum(0) - sums) / (sizes.sum() - sizes)[:, None]
    return [
        _interval(float(means[k]), drawn[:, k], left_out[:, k], level, side) for k in range(values.shape[1])
    ]


def crossed_intervals(
    values: Float[np.ndarray, "unit what"],
    first: Sequence[Any],
    second: Sequence[Any],
    *,
    level: float = 0.95,
    draws: int = _DRAWS,
    seed: int = 0,
) -> list[Interval]:
    """Intervals of means over values that belong to two kinds of groups at once, such as mosaics and patients.

    Values of one mosaic go together, and so do those of one patient, whose photos stand in several mosaics. The
    variance of such a mean is that by the first groups, and that by the second, less that of single values, which both
    count (Cameron, Gelbach & Miller, Journal of Business & Economic Statistics 2011, eq. 2.10). Here the squared
    distances of an interval's ends from the mean are added up so; an end is no nearer than by the first groups alone.

    Args:
        values: see `bca_intervals`.
        first: the group of each, of one kind.
        second: the group of each, of the other.
        level: see `bca_intervals`.
        draws: see `bca_intervals`.
        seed: see `bca_intervals`.

    Raises:
        InputError: see `bca_intervals`.
    """
    by_first, by_second, alone = (
        bca_intervals(values, groups=groups, level=level, draws=draws, seed=seed)
        for groups in (first, second, None)
    )

    def distance(by_first: float, by_second: float, alone: float) -> float:
        if math.isinf(by_first) or math.isinf(by_second):
            return math.inf
        return math.sqrt(by_first**2 + max(by_second**2 - alone**2, 0.0))

    return [
        Interval(
            a.value,
            a.value - distance(a.value - a.low, b.value - b.low, c.value - c.low),
            a.value + distance(a.high - a.value, b.high - b.value, c.high - c.value),
            level,
        )
        for a, b, c in zip(by_first, by_second, alone, strict=True)
    ]


def _by_group(
    values: Float[np.ndarray, "unit what"], groups: Sequence[Any] | None
) -> tuple[Float[np.ndarray, "group what"], Float[np.ndarray, " group"]]:
    """The sum of each group, and how many images it has."""
    if groups is None:
        return values, np.ones(len(values))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    of_image = np.array([numbers[name] for name in groups])
    sums = np.zeros((len(numbers), values.shape[1]))
    np.add.at(sums, of_image, values)
    return sums, np.bincount(of_image).astype(np.float64)


def _drawn(
    sums: Float[np.ndarray, "group what"], sizes: Float[np.ndarray, " group"], draws: int, seed: int
) -> Float[np.ndarray, "draw what"]:
    """The means of so many draws with replacement."""
    random, count = np.random.default_rng(seed), len(sums)
    found = []
    for start in range(0, draws, max(1, _AT_A_TIME // count)):
        some = min(draws - start, max(1, _AT_A_TIME // count))
        times: Int[np.ndarray, "draw group"] = random.multinomial(count, np.full(count, 1 / count), size=some)
        found.append((times @ sums) / (times @ sizes)[:, None])
    return np.concatenate(found)


def _interval(
    mean: float,
    drawn: Float[np.ndarray, " draw"],
    left_out: Float[np.ndarray, " group"],
    level: float,
    side: Side,
) -> Interval:
    from scipy.special import stdtrit

    normal = NormalDist()
    # rounding must not tell equal means apart: of images that are all alike every draw has the same mean
    close = 1e-12 * max(1e-300, float(np.abs(drawn).max()))
    below = float((drawn < mean - close).mean() + 0.5 * (np.abs(drawn - mean) <= close).mean())
    edge = 0.5 / len(drawn)
    bias = normal.inv_cdf(min(max(below, edge), 1 - edge))
    away = left_out.mean() - left_out
    spread = float((away**2).sum())
    acceleration = float((away**3).sum() / (6 * spread**1.5)) if spread else 0.0

    units = len(left_out)

    def end(share: float) -> float:
        moved = bias + math.sqrt(units / (units - 1)) * float(stdtrit(units - 1, share))
        scale = 1 - acceleration * moved
        # beyond the pole of the correction nothing is sure: the most extreme draw is taken
        at = normal.cdf(bias + moved / scale) if scale > 0 else float(share > 0.5)
        return float(np.quantile(drawn, at))

    if side == "below":
        return Interval(mean, end(1 - level), math.inf, level)
    return Interval(mean, end((1 - level) / 2), end((1 + level) / 2), level)
