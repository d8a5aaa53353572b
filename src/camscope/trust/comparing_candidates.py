"""Candidates on images that they were not chosen on: their scores beside the baselines', and the best one's lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from camscope.trust.bca import bca_intervals
from camscope.trust.verdict import Compared, Interval


class Tested(NamedTuple):
    """How one candidate did.

    Attributes:
        score: its mean, with its interval of 95 %.
        over: by the baseline's name: the baseline's mean, and the lead over it with its one-sided bound of 95 %.
        lead: how much the first candidate is better, with its one-sided bound of 95 %.
    """

    score: Interval
    over: dict[str, Compared]
    lead: Interval


def ranked(
    values: Float[np.ndarray, "candidate map"], chance: float
) -> tuple[list[int], Float[np.ndarray, " candidate"]]:
    """The candidates from the best to the worst, and their means; of equal ones the first stays first.

    Args:
        values: of each candidate's maps; NaN where one cannot be judged.
        chance: what such a map counts as: a method must not win by being silent.
    """
    means = np.where(np.isnan(values), chance, values).mean(1)
    return np.argsort(-np.round(means, 6), kind="stable").tolist(), means


def compare_candidates(
    scores: Float[np.ndarray, "candidate image"],
    baselines: Sequence[Mapping[str, Float[np.ndarray, " image"]]],
    groups: Sequence[Any] | None,
    seed: int,
) -> list[Tested]:
    """Compare candidates with baselines and with the first candidate, image by image.

    To beat all baselines each lead must be above 0; all must pass, so no correction is due (intersection–union). The
    same holds for being better than every other candidate.

    Args:
        scores: of each candidate, the chosen one first; finite.
        baselines: of each candidate the scores of its baselines, by name; finite.
        groups: of each image; None for none.
        seed: of the bootstrap.
    """
    means = bca_intervals(scores.T, groups=groups, seed=seed)
    leads = bca_intervals((scores[:1] - scores).T, groups=groups, side="below", seed=seed)
    found = []
    for own, mean, lead, beside in zip(scores, means, leads, baselines, strict=True):
        over = {}
        if beside:
            others = np.stack([*beside.values()], axis=1)
            theirs = bca_intervals(others, groups=groups, seed=seed)
            differences = bca_intervals(own[:, None] - others, groups=groups, side="below", seed=seed)
            over = {name: Compared(*both) for name, *both in zip(beside, theirs, differences, strict=True)}
        found.append(Tested(mean, over, lead))
    return found
