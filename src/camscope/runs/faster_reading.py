"""Whether a run reads photos the quick way: long ones do, if the model then says the same of the first of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from camscope.engine.explainer import Explainer
from camscope.errors import InputError, TargetError
from camscope.images import Preprocessing, Quick
from camscope.results import Explanation
from camscope.runs.faster_copy import difference, in_words, is_speed_wanted
from camscope.runs.reader_processes import Readers
from camscope.runs.reading_one import Reading, ReadPhoto
from camscope.runs.sources.one_input import Input

TOLERANCES: dict[Quick, float] = {"reduced": 0.05, "cropped": 0.01}
"""So far, as a share of the largest, maps and scores may be off by the way photos are read."""

DONE: dict[Quick, str] = {
    "reduced": "only what the crop keeps was resized, and JPEG files at least four times as large were decoded smaller",
    "cropped": "only what the crop keeps was resized",
}
"""What was spared, for the provenance."""

_LOOKED_AT, _TRIED = 32, 4
"""Among so many of the first photos so many are looked for that the quick way reads otherwise."""

Explained: TypeAlias = Callable[[Explainer, Sequence[Input], Sequence[ReadPhoto]], Explanation]
Pair: TypeAlias = tuple[Input, ReadPhoto]


@dataclass(frozen=True)
class ChosenReading:
    """How a run reads photos.

    Attributes:
        quick: what is spared.
        said: what was found, in a sentence; empty where there was nothing to find.
    """

    quick: Quick = ""
    said: str = ""


def choose_reading(
    explainer: Explainer,
    head: Sequence[Input],
    explained: Explained,
    *,
    wanted: bool | str | None,
    images: int,
) -> ChosenReading:
    """Choose, by numbers on the first photos: what is not tried there is not taken.

    Args:
        explainer: that the run explains with.
        head: the first inputs.
        explained: explains inputs that were read.
        wanted: whether speed is wanted; None for long runs.
        images: how many the run has.
    """
    preprocessing = explainer.preprocessing
    if preprocessing is None or preprocessing.resize is None or not is_speed_wanted(wanted, images):
        return ChosenReading()  # a library's own way, or nothing to spare
    found = _quickly_read(head[:_LOOKED_AT], preprocessing)
    reduced = [(one, read) for one, read in found if read.reduced > 1][:_TRIED]
    cut = [(one, read) for one, read in found if read.geometry and min(read.geometry.offset) < 0][:_TRIED]
    refused = ""
    ways: list[tuple[Quick, list[Pair]]] = [("reduced", reduced), ("cropped", cut)]
    for quick, some in ways:
        if quick == "cropped" and reduced:  # which were read in both ways at once
            some = _read([one for one, _ in some], Reading(preprocessing, quick))
        tried = _difference(explainer, some, preprocessing, explained)
        if tried is None:
            continue
        off, count = tried
        so = f"on {count} of the first images {in_words(off)}"
        if off <= TOLERANCES[quick]:
            return ChosenReading(quick, f"{refused}Photos are read the quick way ({DONE[quick]}): {so}.")
        refused += f"{_REFUSED[quick]} {so}, where {TOLERANCES[quick]:g} is allowed. "
    return ChosenReading("", refused.strip())


_REFUSED: dict[Quick, str] = {
    "reduced": "JPEG files are decoded whole: with those decoded smaller,",
    "cropped": "Photos are resized whole: with only what the crop keeps,",
}


def _difference(
    explainer: Explainer, some: Sequence[Pair], preprocessing: Preprocessing, explained: Explained
) -> tuple[float, int] | None:
    """How far what a model says of photos is off by the way they were read, and of how many; None if it takes none."""
    plain = dict(_read([one for one, _ in some], Reading(preprocessing)))
    pairs = [(one, plain[one], quick) for one, quick in some if one in plain]
    for these in (pairs, *([one] for one in pairs)) if pairs else ():
        inputs = [one for one, _, _ in these]
        try:
            before = explained(explainer, inputs, [read for _, read, _ in these])
            after = explained(explainer, inputs, [read for _, _, read in these])
        except (InputError, TargetError):  # of one image, perhaps
            continue
        return difference(before, after), len(these)
    return None


def _quickly_read(head: Sequence[Input], preprocessing: Preprocessing) -> list[Pair]:
    """Photos as they are read the quick way, until there are enough of those that are decoded smaller."""
    found: list[Pair] = []
    with Readers(1, Reading(preprocessing, "reduced"), _TRIED) as readers:
        for one, read in readers.read(head):
            if isinstance(read, ReadPhoto):
                found.append((one, read))
            if sum(read.reduced > 1 for _, read in found) == _TRIED:
                break
    return found


def _read(inputs: Sequence[Input], reading: Reading) -> list[Pair]:
    if not inputs:
        return []
    with Readers(1, reading, len(inputs)) as readers:
        return [(one, read) for one, read in readers.read(inputs) if isinstance(read, ReadPhoto)]
