"""What is said of a map, and the numbers it is said by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from jaxtyping import Float


class Verdict(StrEnum):
    """What is said of a map; the words are what people read."""

    BEATS = "beats all baselines"
    NO_BETTER_THAN_CENTRE = "no better than the centre"
    NO_BETTER_THAN_MEAN = "no better than mean activation"
    CHANCE = "cannot be told from chance"
    UNJUDGED = "cannot be judged"


@dataclass(frozen=True)
class Interval:
    """A number with the interval that holds it in `level` of cases.

    Attributes:
        value: the number.
        low: the lower end; −∞ leaves it open.
        high: the upper end; ∞ leaves it open.
        level: the share of cases.
    """

    value: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class Compared:
    """A map beside one baseline, over the same probes.

    Attributes:
        fidelity: of the baseline, with its interval over the probes.
        difference: the map's fidelity less the baseline's, with its one-sided lower bound of a paired bootstrap.
    """

    fidelity: Interval
    difference: Interval


@dataclass(frozen=True)
class Check:
    """One of the further tests of a map.

    Attributes:
        name: of the test: `class`, `weights`, `stability` or `srg`.
        number: what was measured, NaN where it cannot be judged.
        passed: whether the map passes; None where the number is only told, or cannot be judged.
        says: the same in a sentence.
    """

    name: str
    number: Interval
    passed: bool | None
    says: str


@dataclass(frozen=True)
class Judged:
    """One map of one image: what is said of it, and the evidence.

    Attributes:
        image: the number of the image.
        method: as the explanation names it.
        layer: as the explanation names it.
        target: the name of what is explained.
        verdict: what is said.
        why: why it cannot be judged, or "".
        fidelity: the rank correlation of what the map puts on the removed cells and what the score loses, with its
            interval over the probes; NaN where it cannot be judged.
        by_imputer: the same for each way to remove cells, by its name.
        ceiling: the fidelity that the best additive map on this grid reaches, out of sample.
        p: of the fidelity against the same map at other places.
        chance: what the same map reaches at other places: the median, and what 95 % of them lie in.
        baselines: the map beside each baseline, by the baseline's name.
        cells: the map on the grid of its probes: of a text at its words' tokens.
        checks: the further tests that were asked for.
        notes: what a reader must know.
        mistake: what the label says of the image, where the model says otherwise; "" where it does not, or there is no
            label.
    """

    image: int
    method: str
    layer: str
    target: str
    verdict: Verdict
    why: str
    fidelity: Interval
    by_imputer: Mapping[str, float]
    ceiling: float
    p: float
    chance: Interval
    baselines: Mapping[str, Compared]
    cells: Float[np.ndarray, " *grid"] = field(compare=False)
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = field(default=())
    mistake: str = ""

    def check(self, name: str) -> Check | None:
        """What a further test says; None if the map was not put to it.

        Args:
            name: of the test.
        """
        return next((check for check in self.checks if check.name == name), None)

    @property
    def of_ceiling(self) -> float:
        """Fidelity as a share of its ceiling: how much of what a map of this grid can explain it does explain.

        It is 1 at most: the ceiling is an estimate too, which a good map may reach beyond. NaN without a ceiling.
        """
        return min(1.0, self.fidelity.value / self.ceiling) if self.ceiling > 0 else float("nan")
