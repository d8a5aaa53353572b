"""From rows to what is said of each method: means with their intervals, counts with theirs, and how tests agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.stats import spearmanr

from benchmarks.trust.kept_rows import Row
from benchmarks.trust.tests_of_maps import BASELINES
from camscope.trust import Interval, Verdict
from camscope.trust.bca import bca_intervals
from camscope.trust.method_candidates import ENOUGH

NUMBERS = (
    "fidelity",
    "ceiling",
    "srg",
    "average_drop",
    "average_gain",
    "average_increase",
    "complexity",
    "gini",
    "insertion",
    "deletion",
    "road",
    "in_mosaic",
    "other_class",
    "other_weights",
    "follows_weights",
    "stability",
)
"""What is averaged over photos."""


SHARES = ("follows_weights",)
"""Of these the rows say yes or no."""


@dataclass(frozen=True)
class Standing:
    """How a method does on all photos of a test.

    Attributes:
        method: its name.
        photos: of how many something could be said.
        means: of each number, with the interval over series of photos.
        above: its fidelity less each baseline's, likewise; of tests that give a verdict.
        verdicts: how often each was given.
        beats: the share of photos on which it beats all baselines, with Wilson's interval.
    """

    method: str
    photos: int
    means: Mapping[str, Interval]
    above: Mapping[str, Interval]
    verdicts: Mapping[Verdict, int]
    beats: Interval

    @property
    def verdict(self) -> str:
        """What is said of it on the set: better than every baseline, or which it is not better than."""
        if self.photos < ENOUGH:
            return "too few"
        below = [name for name, one in self.above.items() if not one.low > 0]
        return f"no better than {', '.join(below)}" if below else Verdict.BEATS.value


def standings(rows: Sequence[Row]) -> list[Standing]:
    """Every method of the rows of one test and one model, the best first, as its first number says; baselines last."""
    found = [_standing(method, rows) for method in rows[0].values]
    first = next(iter(found[0].means), "")

    def place(s: Standing) -> tuple[bool, float]:
        return s.method in BASELINES, -s.means[first].value if first in s.means else math.inf

    return sorted(found, key=place)


def together(found: Sequence[Standing]) -> list[tuple[tuple[str, ...], Standing]]:
    """Methods of which every number is the same stand together: their maps are."""
    names: dict[object, list[str]] = {}
    kept: dict[object, Standing] = {}
    for s in found:
        key = (tuple(s.means.items()), tuple(s.above.items()), tuple(s.verdicts.items()))
        names.setdefault(key, []).append(s.method)
        kept.setdefault(key, s)
    return [(tuple(names[key]), kept[key]) for key in kept]


def wilson(count: int, n: int, level: float = 0.95) -> Interval:
    """A share with Wilson's interval (JASA 1927); of nothing it is NaN."""
    if not n:
        return Interval(math.nan, math.nan, math.nan, level)
    z, p = NormalDist().inv_cdf((1 + level) / 2), count / n
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return Interval(p, max(0.0, low), min(1.0, high), level)


def agreement(of_methods: Mapping[str, Mapping[str, float]]) -> tuple[list[str], np.ndarray]:
    """How alike tests rank the methods that both have: Spearman's correlation, NaN of fewer than five.

    Args:
        of_methods: by the test's name, each method's number, higher being better.
    """
    names = list(of_methods)
    table = np.full((len(names), len(names)), np.nan)
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            both = [m for m in of_methods[one] if m in of_methods[other]]
            if len(both) >= 5:
                table[i, j] = spearmanr(*([of_methods[t][m] for m in both] for t in (one, other))).statistic
    return names, table


def _standing(method: str, rows: Sequence[Row]) -> Standing:
    given = [row for row in rows if method in row.values]
    numbers = [name for name in given[0].values[method] if name in NUMBERS]
    verdicts = [Verdict[str(v)] for row in given if (v := row.values[method].get("verdict"))]
    means, above, photos = {}, {}, 0
    for name in numbers:
        judged = [row for row in given if row.values[method][name] is not None]
        if judged:
            measured = [_number(row, method, name) for row in judged]
            means[name] = (
                wilson(round(sum(measured)), len(measured)) if name in SHARES else _mean(measured, judged)
            )
            photos = photos or len(judged)
    if verdicts:
        for baseline in BASELINES:
            judged = [row for row in given if _both(row, method, baseline)]
            if judged and baseline != method:
                above[baseline] = _mean(
                    [_number(row, method, "fidelity") - _number(row, baseline, "fidelity") for row in judged],
                    judged,
                )
    counts = {verdict: verdicts.count(verdict) for verdict in Verdict}
    return Standing(
        method=method,
        photos=photos,
        means=means,
        above=above,
        verdicts=counts,
        beats=wilson(counts[Verdict.BEATS], len(verdicts) - counts[Verdict.UNJUDGED]),
    )


def _both(row: Row, *methods: str) -> bool:
    return all(row.values.get(method, {}).get("fidelity") is not None for method in methods)


def _number(row: Row, method: str, name: str) -> float:
    value = row.values[method][name]
    assert isinstance(value, (int, float)), (row.key, method, name)
    return float(value)


def _mean(values: Sequence[float], rows: Sequence[Row]) -> Interval:
    return bca_intervals(np.array(values)[:, None], groups=[row.series for row in rows])[0]
