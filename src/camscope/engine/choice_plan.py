"""What a choice is made of: what was asked for, the mosaics of both halves, and the price."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from camscope.engine.candidate_maps import CandidateMaps
from camscope.engine.looking import Looked
from camscope.engine.mosaic_trials import Mosaics
from camscope.engine.trusting import check_probes
from camscope.errors import InputError, keyword, nearest
from camscope.targets import class_name
from camscope.trust.method_candidates import ENOUGH
from camscope.trust.mosaics import GRIDS, dealt

By: TypeAlias = Literal["mosaics", "fidelity"]
"""What candidates are ranked by on the first half."""

MEASURE = "fidelity"
"""What they are tested by."""

_MOST_MOSAICS = 64
"""Mosaics of each half, at most."""


@dataclass(frozen=True)
class Asked:
    """What a choice is made of; see `camscope.Explainer.choose`.

    Attributes:
        labels: see there.
        groups: see there.
        by: see there.
        probes: see there.
        seed: see there.
        progress: whether bars are shown.
        tell: gets the price in words before the long part.
        model: what tells the model from others.
    """

    labels: Any
    groups: Sequence[Any] | None
    by: By
    probes: int | None
    seed: int
    progress: bool
    tell: Callable[[str], None]
    model: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_probes(self.probes)
        if self.by not in (ways := ("mosaics", "fidelity")):
            raise InputError(
                f"{keyword('by', self.by)}: expected mosaics or fidelity.{nearest(str(self.by), ways)}"
            )


def mosaics_of(looked: Looked, asked: Asked) -> tuple[Mosaics, Mosaics, list[str]]:
    """The mosaics of both halves, of four photos where there are enough classes, else of two.

    Raises:
        InputError: if there are none, and candidates are to be ranked by them.
    """
    made = {}
    for parts in GRIDS:
        halves = []
        for second in (False, True):
            there = looked.usable & (looked.first != second)
            images = dealt(np.where(there, looked.classes, -1), looked.confidence, parts, asked.seed)
            halves.append(Mosaics(images[:_MOST_MOSAICS]))
        made[parts] = halves
    four, two = (sum(map(len, made[parts])) * parts if all(map(len, made[parts])) else 0 for parts in (4, 2))
    if 2 * four >= two and four:
        return made[4][0], made[4][1], []
    if two:
        note = (
            "Mosaics are of two photos side by side (chance 0.5): "
            "there are not enough photos of four classes in both halves."
        )
        return made[2][0], made[2][1], [note]
    if asked.by == "mosaics":
        raise InputError(_no_mosaics(looked))
    none = Mosaics(np.zeros((0, 2), np.int64))
    return none, none, ["There are no mosaics: photos of two classes at least are needed in both halves."]


def _no_mosaics(looked: Looked) -> str:
    usable = looked.classes[looked.usable]
    numbers, counts = np.unique(usable, return_counts=True)
    of = ", ".join(
        f"{class_name(int(numbers[i]), looked.names)!r} {counts[i]}" for i in np.argsort(-counts)[:4]
    )
    return (
        f"A mosaic needs photos of two classes at least, and each half of the photos its own. The model's top classes "
        f"of the {len(usable)} photos that may be used: {of}{' …' if len(numbers) > 4 else ''}. Add photos of other "
        f"classes; or rank without mosaics, by {MEASURE} alone: {keyword('by', 'fidelity')}. "
        f"For anything to be claimed it takes {ENOUGH} photos."
    )


def check_seen(first: Mosaics, made: int) -> None:
    """Refuse to rank by mosaics in which the model does not see what is in them.

    Raises:
        InputError: if none of the first half is left.
    """
    if not len(first):
        raise InputError(
            f"In none of the first half's mosaics (of {made} in both) does the model still see every photo's class, "
            f"so they say nothing of maps. Rank without mosaics, by {MEASURE} alone: {keyword('by', 'fidelity')}."
        )


def price_of(
    looked: Looked, candidates: CandidateMaps, first: Mosaics, second: Mosaics, asked: Asked
) -> tuple[str, int]:
    """The price in words, and how many forwards it is.

    Args:
        looked: what the model says of the photos.
        candidates: whose maps are made.
        first: the mosaics of the first half.
        second: those of the second.
        asked: what was asked for.
    """
    photos = first.parts * (3 * len(first) + 2 * len(second))
    scored = len(looked.half(second=True)) + (len(looked.half(second=False)) if asked.by == "fidelity" else 0)
    each = candidates.probes(asked.probes)
    mosaics = f"{photos:,} for mosaics of the photos, " if photos else ""
    words = (
        f"{len(candidates.ways)} candidates cost about {photos + each * scored:,} forwards: {mosaics}"
        f"{each * scored:,} for {MEASURE} ({each} for each of {scored} photos)."
    )
    return words, photos + each * scored
