"""`Explainer.choose`: the method and layer that serve a model on a user's own photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.engine.candidate_maps import find_candidates
from camscope.engine.choice_plan import MEASURE, Asked, check_seen, mosaics_of, price_of
from camscope.engine.looking import Chooses, check_counts, check_model, look
from camscope.engine.mosaic_trials import Mosaics, MosaicTrials
from camscope.engine.photo_set import PhotoSet
from camscope.engine.progress_bar import bar, in_steps
from camscope.errors import InputError
from camscope.evidence import Need
from camscope.targets import PerImage
from camscope.trust.bca import bca_intervals, crossed_intervals
from camscope.trust.chosen import Choice
from camscope.trust.comparing_candidates import compare_candidates, ranked
from camscope.trust.method_candidates import Candidate
from camscope.trust.verdict import Interval

_SIZE = 16
"""Photos that are held at a time."""

_GAME = "the grid pointing game in mosaics of the photos"
_UNKNOWN = Interval(float("nan"), float("-inf"), float("inf"))


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
    first, second, notes = mosaics_of(looked, asked)
    price, steps = price_of(looked, candidates, first, second, asked)
    asked.tell(price)
    with bar("choosing", shown=asked.progress) as told:
        trials = MosaicTrials(explainer, own, looked, candidates, asked.seed, in_steps(told, steps), notes)
        return _Choosing(trials, asked).run(first, second, price)


class _Ranks(NamedTuple):
    """What candidates are ranked by.

    Attributes:
        values: of each map, NaN where it cannot be judged.
        silent: what that counts as.
        by: what it is, in words.
    """

    values: Float[np.ndarray, "key map"]
    silent: float
    by: str


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
        small, made = False, len(first) + len(second)
        if len(first):
            small, seen = trials.sized(first)
            first = first.kept(seen)
        ranks = self.ranks(first, made, small)
        if len(second):
            second = second.kept(trials.seen(second, small=small))
        lost = made - len(first) - len(second)
        if lost:
            trials.notes.append(
                f"{lost} of {made} mosaics are left out: the model does not see every class of theirs in them."
            )
        places = self.places(second, small)
        images = looked.half(second=True)
        scores, why = self.fidelities(images)
        judged = self.judged(scores, why)
        groups = None if looked.groups is None else [looked.groups[i] for i in images[judged]]
        candidates, baselines = self.results(ranks, places, scores[:, judged], groups)
        photos = trials.photos
        return Choice(
            candidates=candidates,
            baselines=baselines,
            ranking=ranks.by,
            measure=MEASURE,
            photos=(len(looked.half(second=False)), int(judged.sum())),
            groups=None if groups is None else (looked.groups_of_first, len(set(groups))),
            mosaics=(len(first), len(second)),
            lost=lost,
            parts=first.parts,
            large=not small,
            price=price,
            model=asked.model,
            left_out=tuple((photos.name(i), why) for i, why in sorted(photos.left_out.items())),
            notes=(*looked.notes, *trials.notes),
            seed=asked.seed,
        )

    def ranks(self, first: Mosaics, made: int, small: bool) -> _Ranks:
        """How all maps did on the first half.

        Args:
            first: its mosaics.
            made: how many mosaics there were in both halves.
            small: whether mosaics have the size of one photo.

        Raises:
            InputError: if there are no mosaics to rank by.
        """
        if self.asked.by == "fidelity":
            return _Ranks(self.fidelities(self.trials.looked.half(second=False))[0], 0.0, MEASURE)
        check_seen(first, made)
        shares = self.trials.pointing(first, small=small)
        return _Ranks(shares.reshape(len(shares), -1), 1 / first.parts, _GAME)

    def places(self, second: Mosaics, small: bool) -> list[Interval]:
        """The share of each map on the right photo in the second half's mosaics.

        Shares of one mosaic go together, and so do those of photos of one group, which stand in several mosaics.
        """
        if not len(second):
            return [_UNKNOWN] * len(self.trials.candidates.keys)
        shares = self.trials.pointing(second, small=small)
        known = np.where(np.isnan(shares), 1 / second.parts, shares)
        photos = second.images.ravel()
        groups = self.trials.looked.groups
        return crossed_intervals(
            known.reshape(len(known), -1).T,
            np.arange(len(second)).repeat(second.parts).tolist(),
            photos.tolist() if groups is None else [groups[photo] for photo in photos],
            seed=self.asked.seed,
        )

    def judged(
        self, scores: Float[np.ndarray, "key image"], why: Mapping[int, str]
    ) -> Bool[np.ndarray, " image"]:
        """Which photos can be judged at all. The centre is never flat: where it cannot be, nothing can.

        Args:
            scores: of the second half.
            why: of each photo of which something cannot be judged, the last reason, which is a baseline's.

        Raises:
            InputError: if there is none.
        """
        judged = ~np.isnan(scores).all(0)
        such = f" Of the first: {why[int(np.argmin(judged))]}" if not judged.all() else ""
        if not judged.any():
            raise InputError(
                f"None of the {len(judged)} photos of the second half can be judged.{such} explainer.trust(photo) says "
                "more."
            )
        if not judged.all():
            self.trials.notes.append(
                f"{int((~judged).sum())} of {len(judged)} photos of the second half cannot be judged and were left "
                f"out.{such}"
            )
        return np.asarray(judged)

    def results(
        self,
        ranks: _Ranks,
        places: Sequence[Interval],
        raw: Float[np.ndarray, "key image"],
        groups: Sequence[Any] | None,
    ) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
        """The candidates, the best of the first half first, and the baselines at its layer.

        Args:
            ranks: of the first half.
            places: in mosaics of the second half.
            raw: fidelities of the second half; NaN for a map that cannot be judged, which counts as 0.
            groups: of its photos; None for none.
        """
        seed, ways, keys = self.asked.seed, self.trials.candidates.ways, self.trials.candidates.keys
        scores = np.where(np.isnan(raw), 0.0, raw)
        at = [keys.index(way.key) for way in ways]
        order, means = ranked(ranks.values[at], ranks.silent)
        beside = [{name: scores[keys.index(key)] for name, key in ways[i].beside.items()} for i in order]
        compared = compare_candidates(np.stack([scores[at[i]] for i in order]), beside, groups, seed)
        best = at[order[0]]

        def same(key: int) -> bool:
            pairs = ((ranks.values[key], ranks.values[best]), (raw[key], raw[best]))
            return key != best and all(np.allclose(a, b, atol=1e-9, equal_nan=True) for a, b in pairs)

        candidates = tuple(
            Candidate(
                method=ways[i].method,
                layers=ways[i].layers,
                at=ways[i].key[1],
                ranked=float(means[i]),
                located=places[at[i]],
                score=one.score,
                over=one.over,
                lead=one.lead,
                unjudged=int(np.isnan(raw[at[i]]).sum()),
                same=same(at[i]),
            )
            for i, one in zip(order, compared, strict=True)
        )
        baselines = []
        for name, key in ways[order[0]].beside.items():
            number = keys.index(key)
            _, mean = ranked(ranks.values[[number]], ranks.silent)
            (score,) = bca_intervals(scores[number][:, None], groups=groups, seed=seed)
            baselines.append(
                Candidate(name, None, key[1], float(mean[0]), located=places[number], score=score)
            )
        return candidates, tuple(baselines)

    def fidelities(
        self, images: Int[np.ndarray, " image"]
    ) -> tuple[Float[np.ndarray, "key image"], dict[int, str]]:
        """The fidelity of each map of some photos' own top classes, NaN where it cannot be judged; and why it cannot.

        Of a photo the last reason is kept, and baselines come last: it is one about the photo if nothing can be judged.
        """
        trials, keys = self.trials, self.trials.candidates.keys
        number = {key: i for i, key in enumerate(keys)}
        found, why = np.full((len(keys), len(images)), np.nan), {}
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
                        if row.why:
                            why[start + row.image] = row.why
                notes = judgement.explanation.notes
                trials.notes.extend(note for note in dict.fromkeys(notes) if note not in trials.notes)
            trials.advance(trials.candidates.probes(self.asked.probes) * len(some))
        return found, why
