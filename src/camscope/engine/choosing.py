"""`Explainer.choose`: the method and layer that serve a model on a user's own photos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from camscope.engine.candidate_maps import CandidateMaps, find_candidates
from camscope.engine.looking import Chooses, Looked, check_counts, check_model, look
from camscope.engine.mosaic_trials import Mosaics, MosaicTrials
from camscope.engine.photo_set import PhotoSet
from camscope.engine.progress_bar import bar, in_steps
from camscope.engine.trusting import check_probes
from camscope.errors import InputError, keyword, nearest
from camscope.evidence import Need
from camscope.targets import PerImage, class_name
from camscope.trust.bca import bca_intervals
from camscope.trust.chosen import Choice
from camscope.trust.comparing_candidates import compare_candidates, ranked
from camscope.trust.method_candidates import Candidate
from camscope.trust.mosaics import GRIDS, dealt
from camscope.trust.verdict import Interval

By: TypeAlias = Literal["mosaics", "fidelity"]
"""What candidates are ranked by on the first half."""

_SIZE = 16
"""Photos that are held at a time."""

_MOST_MOSAICS = 64
"""Mosaics of each half, at most."""

_MEASURE = "fidelity"


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


def choose(
    explainer: Chooses, photos: Any, asked: Asked, *, methods: Any, layers: Any, offers: frozenset[Need]
) -> Choice:
    """Choose a method and a layer. See `camscope.Explainer.choose`.

    Args:
        explainer: of the model.
        photos: see there.
        asked: what else was asked for.
        methods: see there.
        layers: see there.
        offers: the needs that the model can meet.

    Raises:
        CamscopeError: see there.
    """
    check_model(explainer)
    own = PhotoSet(photos, explainer.preprocessing)
    check_counts(own, asked.labels, asked.groups)
    _, one = next(own.chunks(1), (None, None))
    if one is None:
        raise InputError(f"No photo of {len(own)} can be read. {next(iter(own.left_out.values()))}")
    candidates = find_candidates(explainer, one, methods, layers, offers, asked.seed)
    with bar("looking at the photos", shown=asked.progress) as told:
        advance = in_steps(told, len(own))
        looked = look(
            explainer, own, asked.labels, asked.groups, size=_SIZE, seed=asked.seed, advance=advance
        )
    first, second, notes = _mosaics(looked, asked)
    price, steps = _price(looked, candidates, first, second, asked)
    asked.tell(price)
    with bar("choosing", shown=asked.progress) as told:
        trials = MosaicTrials(explainer, own, looked, candidates, asked.seed, in_steps(told, steps), notes)
        return _Choosing(trials, asked).run(first, second, price)


@dataclass(frozen=True)
class _Choosing:
    """Ranks on the first half, tests on the second.

    Attributes:
        trials: runs mosaics.
        asked: what was asked for.
    """

    trials: MosaicTrials
    asked: Asked

    def run(self, first: Mosaics, second: Mosaics, price: str) -> Choice:
        """The choice."""
        trials, asked, looked = self.trials, self.asked, self.trials.looked
        ways, keys = trials.candidates.ways, trials.candidates.keys
        at = [keys.index(way.key) for way in ways]
        chance = 1 / first.parts
        small, made = False, len(first) + len(second)
        if len(first):
            small, seen = trials.sized(first)
            first = first.kept(seen)
        if asked.by == "fidelity":
            on_first = self.fidelities(looked.half(second=False))
            ranking, silent = _MEASURE, 0.0
        else:
            _check_seen(first, made)
            on_first = trials.pointing(first, small=small).reshape(len(keys), -1)
            ranking, silent = "the grid pointing game in mosaics of the photos", chance
        order, means = ranked(on_first[at], silent)
        located = np.full((len(keys), 0), np.nan)
        if len(second):
            second = second.kept(trials.seen(second, small=small))
        if len(second):
            shares = trials.pointing(second, small=small)
            located = np.where(np.isnan(shares), chance, shares).mean(2)
        of_second = looked.half(second=True)
        raw = self.fidelities(of_second)
        judged = ~np.isnan(raw[at]).all(0)
        if not judged.any():
            raise InputError(
                f"No map of the {len(of_second)} photos of the second half can be judged: each is flat, or whatever is "
                "removed of a photo changes what the model says of it. explainer.trust(photo) says which."
            )
        if not judged.all():
            trials.notes.append(
                f"{int((~judged).sum())} of {len(judged)} photos of the second half cannot be judged and were left "
                "out: whatever is removed of them changes what the model says, or all maps are flat."
            )
        of_second, raw = of_second[judged], raw[:, judged]
        scores = np.where(np.isnan(raw), 0.0, raw)
        groups = None if looked.groups is None else [looked.groups[i] for i in of_second]
        beside = [{name: scores[keys.index(key)] for name, key in ways[i].beside.items()} for i in order]
        own = np.stack([scores[at[i]] for i in order])
        results = compare_candidates(own, beside, groups, asked.seed)
        places = _intervals(located, asked.seed)
        best = at[order[0]]

        def same(key: int) -> bool:
            pairs = ((on_first[key], on_first[best]), (raw[key], raw[best]))
            return key != best and all(np.allclose(a, b, atol=1e-9, equal_nan=True) for a, b in pairs)

        candidates = tuple(
            Candidate(
                method=ways[i].method,
                layers=ways[i].layers,
                at=ways[i].key[1],
                ranked=float(means[i]),
                located=places[at[i]],
                score=result.score,
                over=result.over,
                lead=result.lead,
                unjudged=int(np.isnan(raw[at[i]]).sum()),
                same=same(at[i]),
            )
            for i, result in zip(order, results, strict=True)
        )
        baselines = tuple(
            Candidate(
                method=name,
                layers=None,
                at=key[1],
                ranked=float(np.nan_to_num(on_first[keys.index(key)], nan=silent).mean()),
                located=places[keys.index(key)],
                score=bca_intervals(scores[keys.index(key)][:, None], groups=groups, seed=asked.seed)[0],
            )
            for name, key in ways[order[0]].beside.items()
        )
        photos = trials.photos
        return Choice(
            candidates=candidates,
            baselines=baselines,
            ranking=ranking,
            measure=_MEASURE,
            photos=(len(looked.half(second=False)), len(of_second)),
            groups=None if groups is None else (looked.groups_of_first, len(set(groups))),
            mosaics=(len(first), len(second)),
            lost=made - len(first) - len(second),
            parts=first.parts,
            large=not small,
            price=price,
            model=asked.model,
            left_out=tuple((photos.name(i), why) for i, why in sorted(photos.left_out.items())),
            notes=(*looked.notes, *trials.notes),
            seed=asked.seed,
        )

    def fidelities(self, images: Int[np.ndarray, " image"]) -> Float[np.ndarray, "key image"]:
        """The fidelity of each map of some photos' own top classes; NaN where it cannot be judged."""
        trials, keys = self.trials, self.trials.candidates.keys
        number = {key: i for i, key in enumerate(keys)}
        found = np.full((len(keys), len(images)), np.nan)
        for start in range(0, len(images), _SIZE):
            some = images[start : start + _SIZE]
            targets = PerImage([[int(one)] for one in trials.looked.classes[some]])
            given = trials.explainer.prepare(trials.photos.some(trials.looked.numbers[some].tolist()))
            for methods, layers, _ in trials.candidates.calls:
                judgement = trials.explainer.trust(
                    given,
                    methods=list(methods),
                    layers=layers,
                    targets=targets,
                    checks="fidelity",
                    probes=self.asked.probes,
                    seed=self.asked.seed + start,
                )
                for row in judgement.rows:
                    if (row.method, row.layer) in number:
                        found[number[row.method, row.layer], start + row.image] = row.fidelity.value
                notes = judgement.explanation.notes
                trials.notes.extend(note for note in dict.fromkeys(notes) if note not in trials.notes)
            trials.advance(trials.candidates.probes(self.asked.probes) * len(some))
        return found


def _intervals(located: Float[np.ndarray, "key mosaic"], seed: int) -> list[Interval]:
    if not located.shape[1]:
        return [Interval(float("nan"), float("-inf"), float("inf"))] * len(located)
    return bca_intervals(located.T, seed=seed)


def _mosaics(looked: Looked, asked: Asked) -> tuple[Mosaics, Mosaics, list[str]]:
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
        f"classes; or rank without mosaics, by {_MEASURE} alone: {keyword('by', 'fidelity')}."
    )


def _check_seen(first: Mosaics, made: int) -> None:
    if not len(first):
        raise InputError(
            f"In none of the first half's mosaics (of {made} in both) does the model still see every photo's class, "
            f"so they say nothing of maps. Rank without mosaics, by {_MEASURE} alone: {keyword('by', 'fidelity')}."
        )


def _price(
    looked: Looked, candidates: CandidateMaps, first: Mosaics, second: Mosaics, asked: Asked
) -> tuple[str, int]:
    """The price in words, and how many steps it is."""
    photos = first.parts * (3 * len(first) + 2 * len(second))
    scored = len(looked.half(second=True)) + (len(looked.half(second=False)) if asked.by == "fidelity" else 0)
    each = candidates.probes(asked.probes)
    mosaics = f"{photos:,} for mosaics of the photos, " if photos else ""
    words = (
        f"{len(candidates.ways)} candidates cost about {photos + each * scored:,} forwards: {mosaics}"
        f"{each * scored:,} for {_MEASURE} ({each} for each of {scored} photos)."
    )
    return words, photos + each * scored
