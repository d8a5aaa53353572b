"""`Explainer.trust`: explains, asks the model about probes, and hands both to the room that judges."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from camscope.arrays import Array, resize, to_numpy
from camscope.composition import parse
from camscope.engine.top_two import WithTopTwo
from camscope.errors import InputError, keyword
from camscope.evidence import Evidence, ModelEvidence, Responses
from camscope.imputing import Blur, Neighbours, is_presence, pixels_of_cells
from camscope.methods.agnostic import centre, mean_activation
from camscope.methods.registry import method_of
from camscope.metrics.explains import Explains
from camscope.results import Explanation, Key, Status
from camscope.targets import TargetInfo, TargetsLike, asks_for_classes
from camscope.trust.cells import grid_of, on_grid
from camscope.trust.checks import Asked, Place, checks_named
from camscope.trust.checks.class_check import NAME as CLASS
from camscope.trust.checks.registry import FIDELITY
from camscope.trust.judged_maps import (
    Baseline,
    Claim,
    ceilings_of,
    judged,
    tells,
    too_small,
    unjudged,
)
from camscope.trust.judgement import Judgement
from camscope.trust.probed import Probed
from camscope.trust.probes import FEWEST, SHARE, drawn, probes_on
from camscope.trust.verdict import Check, Judged, Verdict

FillCells: TypeAlias = Callable[[Float[Array, "1 channel *size"], Bool[np.ndarray, " probe *grid"]], Array]
"""From one input and the cells that are removed to the input with these filled, `probe channel *size`."""


def _blurred(
    x: Float[Array, "1 channel *size"], cells: Bool[np.ndarray, " probe *grid"]
) -> Float[Array, "probe channel *size"]:
    return Blur()(x, pixels_of_cells(cells, x.shape[2:]))


IMPUTERS: Mapping[str, FillCells] = {"blur": _blurred, "road": Neighbours().cells}
"""What takes the place of removed cells, half of the probes each: a blurred copy, and ROAD's neighbour solve."""

Progress: TypeAlias = Callable[[int, int], object]
"""Gets how many altered inputs the model has answered, and how many there are to be."""

_LOG = "log-probability"
_OWN = "the score itself, since it has no probability"


@dataclass(frozen=True)
class Wanted:
    """What is to be judged.

    Attributes:
        methods: see `Explainer.__call__`; the layers and the targets too.
        layers: see `methods`.
        targets: see `methods`.
        checks: the names of the tests.
        probes: how many for each image and grid; None: by the size of the grid.
        seed: of whatever is drawn.
        progress: is told how far the model is.
    """

    methods: Any
    layers: Any
    targets: TargetsLike
    checks: str | Sequence[str]
    probes: int | None
    seed: int
    progress: Progress | None


def judge(explainer: Explains, given: Any, wanted: Wanted, default_method: str) -> Judgement:
    """Explain a batch and judge its maps. See `camscope.engine.Explainer.trust`.

    Args:
        explainer: of the model.
        given: the inputs as they were prepared.
        wanted: what is to be judged.
        default_method: taken where no method is named.
    """
    further = checks_named(wanted.checks)
    check_probes(wanted.probes)
    e, two, means = _explained(explainer, given, wanted, default_method)
    names = [wanted.checks] if isinstance(wanted.checks, str) else list(wanted.checks)
    if FIDELITY in names:
        rows, probes = _by_fidelity(explainer, given, wanted, e, means)
    else:
        why = "Fidelity was not asked for, and the verdict is made of it."
        rows = {place: unjudged(place[0], _bare(e, place), why) for place in _places(e)}
        probes = {}
    asked = Asked(explainer, given, e, wanted.methods, wanted.layers, wanted.targets, two, wanted.seed)
    said: dict[Place, tuple[Check, ...]] = dict.fromkeys(rows, ())
    for testing in further.values():
        for place, one in testing(asked).items():
            if place in said:
                said[place] += (one,)
    judged_rows = tuple(dataclasses.replace(row, checks=said[place]) for place, row in rows.items())
    return Judgement(e, judged_rows, probes, _score_in_words(e), wanted.seed)


def check_probes(probes: Any) -> None:
    """Refuse a number of probes that says nothing.

    Raises:
        InputError: saying what number does.
    """
    if probes is None:
        return
    whole = isinstance(probes, (int, np.integer)) and not isinstance(probes, bool)
    if not whole or probes < FEWEST:
        raise InputError(
            f"{keyword('probes', probes)}: expected how many times parts of each input are removed, {FEWEST} at least; "
            "fewer tell nothing from chance. Leave it out for 128, or 256 where a map has more than 7 × 7 cells."
        )


# ------------------------------------------------------------------ the maps


def _explained(
    explainer: Explains, given: Any, wanted: Wanted, default_method: str
) -> tuple[Explanation, Explanation | None, Mapping[str, np.ndarray]]:
    """The maps that are judged, those of the two likeliest classes, and the mean activation of each layer."""
    methods = wanted.methods if wanted.methods is not None else default_method
    listed = list(methods) if isinstance(methods, (list, tuple)) else [methods]
    named = [parse(method).name for method in listed]
    mean = method_of(mean_activation).name
    beside = [mean] if mean not in named else []
    by_class = CLASS in checks_named(wanted.checks) and asks_for_classes(wanted.targets)
    targets: Any = WithTopTwo(wanted.targets, len(given.batch)) if by_class else wanted.targets
    whole = explainer(
        given, methods=[*listed, *beside], layers=wanted.layers, targets=targets, seed=wanted.seed
    )
    e, two = targets.parted(whole) if by_class else (whole, None)
    means = {layer: to_numpy(maps)[:, 0] for (method, layer), maps in e.raw.items() if method == mean}
    return _without(e, beside), None if two is None else _without(two, beside), means


def _without(e: Explanation, methods: Sequence[str]) -> Explanation:
    return dataclasses.replace(
        e,
        raw={key: maps for key, maps in e.raw.items() if key[0] not in methods},
        facts={name: facts for name, facts in e.facts.items() if name not in methods},
    )


def _places(e: Explanation) -> list[Place]:
    """Every map: image by image, target by target. Of a detector's levels a target has its own only."""
    layers = e.provenance["layers"]
    levels = layers.get("fpn_levels", ())
    own = layers.get("fpn_level_of_target")
    return [
        (image, method, layer, target)
        for image, targets in enumerate(e.targets)
        for target in range(len(targets))
        for method, layer in e.raw
        if own is None or layer not in levels or own[image][target] == layer
    ]


def _bare(e: Explanation, place: Place) -> Claim:
    """A map that nothing is said of."""
    image, method, layer, target = place
    return Claim(method, layer, e.titles[image][target], target, np.zeros(1), ())


def _claim(e: Explanation, place: Place, means: Mapping[str, np.ndarray], grid: tuple[int, ...]) -> Claim:
    """A map with its baselines, on the grid of its probes."""
    image, method, layer, target = place
    key: Key = (method, layer)
    status = e.status[key][image][target]
    unfit = {
        Status.FLAT: "The map is flat: it is the same everywhere, so it says nothing of where.",
        Status.NO_GRADIENT: "The score does not depend on this layer, so the map is zero.",
        Status.NON_FINITE: "The map holds NaN or infinity.",
    }
    return Claim(
        method,
        layer,
        e.titles[image][target],
        target,
        on_grid(to_numpy(e.raw[key])[image, target], grid),
        (
            Baseline(method_of(centre).name, _centre(grid), Verdict.NO_BETTER_THAN_CENTRE),
            Baseline(
                method_of(mean_activation).name, _mean(means, layer, image, grid), Verdict.NO_BETTER_THAN_MEAN
            ),
        ),
        unfit.get(status, ""),
        _notes(e, place),
    )


def _notes(e: Explanation, place: Place) -> tuple[str, ...]:
    image, method, layer, target = place
    notes = []
    if e.status[method, layer][image][target] == Status.ALL_NEGATIVE:
        notes.append("There is no evidence for it anywhere, only against it: the heatmap is blank.")
    if not e.facts[method].class_specific:
        notes.append(f"{method} does not depend on the class.")
    return tuple(notes)


def _centre(grid: tuple[int, ...]) -> Float[np.ndarray, " *grid"]:
    return np.asarray(centre(Evidence(np.zeros((1, 1, *grid))))[0, 0])


def _mean(
    means: Mapping[str, np.ndarray], layer: str, image: int, grid: tuple[int, ...]
) -> Float[np.ndarray, " *grid"]:
    """The mean activation of a map's own layer; of a map of several layers, or of none, that of the last one."""
    mean = means.get(layer, list(means.values())[-1])[image].astype(np.float64)
    finer = any(cells > n for cells, n in zip(grid, mean.shape, strict=True))
    return np.asarray(resize(mean[None, None], grid)[0, 0] if finer else on_grid(mean, grid))


# ------------------------------------------------------------------ the probes


def _by_fidelity(
    explainer: Explains, given: Any, wanted: Wanted, e: Explanation, means: Mapping[str, np.ndarray]
) -> tuple[dict[Place, Judged], dict[tuple[int, tuple[int, ...]], Probed]]:
    """What fidelity says of each map, and the probes it was measured by."""
    size = e.input_size
    grids = {place: grid_of(tuple(e.raw[place[1:3]].shape[2:]), size) for place in _places(e)}
    rows: dict[Place, Judged] = {}
    probes: dict[tuple[int, tuple[int, ...]], Probed] = {}
    with explainer.altering(given, targets=wanted.targets) as seen:
        wide = {place: grid for place, grid in grids.items() if not too_small(grid, wanted.seed)}
        counts = {grid: wanted.probes or probes_on(grid) for grid in dict.fromkeys(wide.values())}
        counter = _Counter(wanted.progress, sum(counts[g] for _, g in {(p[0], g) for p, g in wide.items()}))
        for image in range(len(e)):
            for grid in dict.fromkeys(grid for place, grid in grids.items() if place[0] == image):
                places = [place for place, own in grids.items() if own == grid and place[0] == image]
                claims = [_claim(e, place, means, grid) for place in places]
                if why := too_small(grid, wanted.seed):
                    found = [unjudged(image, claim, why) for claim in claims]
                else:
                    probed = _probed(seen, image, grid, counts[grid], wanted.seed, e.targets[image], counter)
                    probes[image, grid] = probed
                    found = judged(image, claims, probed, wanted.seed)
                rows |= dict(zip(places, found, strict=True))
    return {place: rows[place] for place in grids}, probes


class _Counter:
    """Tells how many altered inputs the model has answered."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total
        self.add(0)

    def add(self, count: int, *, more: int = 0) -> None:
        """Count answers; `more` says how many were not foreseen."""
        self._done, self._total = self._done + count, self._total + more
        if self._progress is not None:
            self._progress(self._done, self._total)


def _probed(
    seen: ModelEvidence,
    image: int,
    grid: tuple[int, ...],
    count: int,
    seed: int,
    targets: Sequence[TargetInfo],
    counter: _Counter,
) -> Probed:
    """What the model says of one image without some cells; once more with half as many, if that changes too much."""
    probed = _asked(seen, image, grid, count, SHARE, seed, targets, counter)
    if tells(probed, ceilings_of(probed, seed)).any():
        return probed
    counter.add(0, more=count)
    return _asked(seen, image, grid, count, SHARE / 2, seed, targets, counter)


def _asked(
    seen: ModelEvidence,
    image: int,
    grid: tuple[int, ...],
    count: int,
    share: float,
    seed: int,
    targets: Sequence[TargetInfo],
    counter: _Counter,
) -> Probed:
    assert seen.masked is not None
    x = seen.inputs[image : image + 1]
    removed = drawn(grid, count, share, seed)
    names = list(IMPUTERS)
    number = np.arange(count) % len(names)
    answers: list[Responses] = []
    for n, fill in enumerate(IMPUTERS.values()):
        own = removed[number == n]

        def variants(some: np.ndarray, own: np.ndarray = own, fill: FillCells = fill) -> Any:
            counter.add(len(some))
            if is_presence(x):  # of words that are there or not nothing is filled
                return np.asarray(x) & ~pixels_of_cells(own[some], x.shape[2:])[:, None]
            return fill(x, own[some])

        answers.append(seen.masked(image, len(own), variants))
    order = np.argsort(np.argsort(number, kind="stable"), kind="stable")
    said = Responses.concatenated(answers).rows(order)
    clean, logs = (_double(r.log_probabilities) for r in (seen.responses, said))
    before, after = (_double(r.probabilities) for r in (seen.responses, said))
    top, changed = np.full(count, -1), float("nan")
    if said.top is not None and seen.responses.top is not None:
        top = to_numpy(said.top).astype(np.int64)
        changed = float((top != int(to_numpy(seen.responses.top)[image])).mean())
    plain = np.array([info.index is not None and not info.against for info in targets])
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(plain & (said.top is not None), (after / before[image]).mean(axis=0), np.nan)
        drops = clean[image] - logs
    return Probed(
        removed=removed,
        imputers=tuple(names[n] for n in number),
        drops=drops,
        top=top,
        changed=changed,
        kept_probability=kept,
        share=share,
        clean=clean[image],
    )


def _double(values: Any) -> np.ndarray:
    return np.asarray(to_numpy(values), np.float64)


def _score_in_words(e: Explanation) -> str:
    """What of the targets was probed."""
    without = list(
        dict.fromkeys(
            info.label
            for targets in e.targets
            for info in targets
            if info.index is None or e.probabilities is None
        )
    )
    every = sum(map(len, e.targets))
    if not without:
        return _LOG
    if e.probabilities is None or len(without) == every:
        return _OWN
    return f"{_LOG}; of {', '.join(without)} {_OWN}"
