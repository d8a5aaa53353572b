"""The facts of a choice: candidates, how they did, and what may be claimed of the recommended one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from camscope.trust.verdict import Compared, Interval

ENOUGH = 50
"""So many images, or groups, there must be for anything to be claimed: half of them are tested on."""

OF_MODEL = "model"
"""What stands for the layer of a map of the whole model."""

_UNKNOWN = Interval(float("nan"), float("-inf"), float("inf"))


@dataclass(frozen=True)
class Candidate:
    """A method at a layer, and how it did.

    Attributes:
        method: as `explainer(x, methods=…)` takes it.
        layers: likewise; None leaves the layer to the automatic choice.
        at: the layer as people read it.
        ranked: by what it was ranked on the first half: the mean share of its positive map in the right part.
        located: the same on the second half, with its interval over mosaics and over groups; NaN if there is none.
        score: its mean score on the photos of the second half, with its interval.
        over: by the name of each baseline: its mean score, and the lead over it with its one-sided lower bound.
        lead: how much the recommended one is better than this one, with its one-sided lower bound.
        unjudged: how many of its maps could not be judged; they count as chance.
        same: whether it gave the same numbers as the recommended one, map by map.
    """

    method: str
    layers: tuple[str, ...] | None
    at: str
    ranked: float
    located: Interval = _UNKNOWN
    score: Interval = _UNKNOWN
    over: Mapping[str, Compared] = field(default_factory=dict)
    lead: Interval = _UNKNOWN
    unjudged: int = 0
    same: bool = False

    @property
    def name(self) -> str:
        """`gradcam at layer4`; of a map of the whole model only the method."""
        return self.method if self.at == OF_MODEL else f"{self.method} at {self.at}"

    @property
    def beaten(self) -> tuple[str, ...]:
        """The baselines that it beats: the lower bound of its lead is above 0."""
        return tuple(name for name, one in self.over.items() if one.difference.low > 0)


@dataclass(frozen=True, eq=False, repr=False)
class ChoiceFacts:
    """What is known of a choice; see `camscope.trust.Choice`.

    Attributes:
        candidates: in the order of their ranks on the first half; the first is the recommended one.
        baselines: how the baselines did at the recommended layer, as candidates.
        ranking: what candidates were ranked by, in words.
        measure: what they were tested by, in words.
        photos: how many photos there are in the first and in the second half.
        groups: how many groups in each; None if photos do not belong to groups.
        mosaics: how many mosaics of the first and of the second half were used.
        lost: how many mosaics were left out, since the model did not see all their classes any more.
        parts: how many photos a mosaic has.
        large: whether photos kept their size in mosaics, which are larger than the model's input then.
        price: what it cost, in words.
        model: which model it is of: its name, type and the digest of its weights.
        left_out: the photos that could not be read, and why.
        notes: what a reader must know.
        seed: of all draws.
    """

    candidates: tuple[Candidate, ...]
    baselines: tuple[Candidate, ...]
    ranking: str
    measure: str
    photos: tuple[int, int]
    groups: tuple[int, int] | None
    mosaics: tuple[int, int]
    lost: int
    parts: int
    large: bool
    price: str
    model: Mapping[str, Any]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    seed: int = 0

    @property
    def best(self) -> Candidate:
        """The recommended one."""
        return self.candidates[0]

    @property
    def method(self) -> str:
        """The recommended method."""
        return self.best.method

    @property
    def layer(self) -> str:
        """The recommended layer, as people read it."""
        return self.best.at

    @property
    def options(self) -> dict[str, Any]:
        """The recommendation as `explainer(x, …)` takes it."""
        layers = self.best.layers
        return {"methods": self.best.method, "layers": None if layers is None else list(layers)}

    @property
    def enough(self) -> bool:
        """Whether there are enough images, or groups, for anything to be claimed."""
        return sum(self.groups or self.photos) >= ENOUGH

    @property
    def beats_all(self) -> bool:
        """Whether the recommended one beats every baseline on the photos that it was not chosen on."""
        return self.enough and bool(self.best.over) and len(self.best.beaten) == len(self.best.over)

    @property
    def is_best_of_all(self) -> bool:
        """Whether the recommended one is better than every candidate that gives other maps."""
        others = [one for one in self.candidates[1:] if not one.same]
        return self.enough and bool(others) and all(one.lead.low > 0 for one in others)
