"""`Explainer.trust`: explains, asks the model about probes, and hands both to the room that judges."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import resize, to_numpy
from camscope.composition import parse
from camscope.engine.counted import Counted
from camscope.engine.labels_of_images import check_labels, labelled
from camscope.engine.probing import Asking, Counter, Progress
from camscope.engine.top_two import WithTopTwo
from camscope.errors import InputError, LayerError, keyword
from camscope.evidence import Evidence
from camscope.methods.agnostic import centre, mean_activation
from camscope.methods.registry import method_of
from camscope.metrics.cells_of_maps import grid_of, on_grid
from camscope.metrics.explains import Explains
from camscope.metrics.text_places import Places, places_of
from camscope.results import Explanation, Key, Status
from camscope.targets import TargetsLike, asks_for_classes
from camscope.trust.checks import Asked, Place, checks_named, names_of_checks
from camscope.trust.checks.class_check import NAME as CLASS
from camscope.trust.checks.registry import FIDELITY
from camscope.trust.judged_maps import (
    Baseline,
    Claim,
    judged,
    too_small,
    unjudged,
)
from camscope.trust.judgement import Judgement
from camscope.trust.probed import Probed
from camscope.trust.probes import FEWEST, probes_on
from camscope.trust.run_cost import Cost, RunCost
from camscope.trust.verdict import Check, Judged, Verdict

_NO_MEAN = "No layer of the model has a grid, so there is no mean activation to beat."

_LOG = "log-probability"
_OWN = "the score itself, since it has no probability"


@dataclass(frozen=True)
class Wanted:
    """What is to be judged.

    Attributes:
        methods: see `Explainer.__call__`; the layers and the targets too.
        layers: see `methods`.
        targets: see `methods`.
        labels: see `Explainer.trust`.
        checks: the names of the tests.
        probes: how many for each image and grid; None: by the size of the grid.
        seed: of whatever is drawn.
        progress: is told how far the model is.
        tell: is told what it costs, before it is run.
    """

    methods: Any
    layers: Any
    targets: TargetsLike
    labels: Sequence[Any] | str | None
    checks: str | Sequence[str]
    probes: int | None
    seed: int
    progress: Progress | None
    tell: Callable[[RunCost], object]


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
    check_labels(wanted.labels, len(given.batch))
    e, two, means = _explained(explainer, given, wanted, default_method)
    e, wrong = labelled(e, wanted.labels)
    counter = Counter(wanted.progress)
    counted = Counted(explainer, counter.add)
    asked = Asked(counted, given, e, wanted.methods, wanted.layers, wanted.targets, two, wanted.seed)

    costs = {name: test.cost(asked) for name, test in further.items()}

    def begin(probes: int) -> None:
        """Tell what all of it costs."""
        cost = RunCost({FIDELITY: Cost(altered=probes), **costs})
        wanted.tell(cost)
        counter.add(0, more=cost.steps)

    if FIDELITY in names_of_checks(wanted.checks):
        rows, probes = _by_fidelity(explainer, given, wanted, e, means, counter, begin)
    else:
        begin(0)
        why = "Fidelity was not asked for, and the verdict is made of it."
        rows = {place: unjudged(place[0], _bare(e, place), why) for place in _places(e)}
        probes = {}
    said: dict[Place, tuple[Check, ...]] = dict.fromkeys(rows, ())
    for test in further.values():
        for place, one in test.run(asked).items():
            if place in said:
                said[place] += (one,)
    judged_rows = tuple(
        dataclasses.replace(row, checks=said[place], mistake=wrong[place[0]]) for place, row in rows.items()
    )
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
    options = {"layers": wanted.layers, "targets": targets, "seed": wanted.seed}
    try:
        whole = explainer(given, methods=[*listed, *beside] if listed else [], **options)
    except LayerError:
        whole = explainer(
            given, methods=listed, **options
        )  # may be of the whole model, where no layer has a grid
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


def _claim(
    e: Explanation,
    place: Place,
    means: Mapping[str, np.ndarray],
    ground: Places,
    grid: tuple[int, ...],
) -> Claim:
    """A map with its baselines, on the grid of its probes."""
    image, method, layer, target = place
    key: Key = (method, layer)
    status = e.status[key][image][target]
    unfit = {
        Status.FLAT: "The map is flat: it is the same everywhere, so it says nothing of where.",
        Status.NO_GRADIENT: "The score does not depend on this layer, so the map is zero.",
        Status.NON_FINITE: "The map holds NaN or infinity.",
    }
    baselines = [Baseline(method_of(centre).name, _centre(grid), Verdict.NO_BETTER_THAN_CENTRE)]
    if means:  # that of a map of several layers, or of none, is of the last one
        mean = ground.of_map(means.get(layer, list(means.values())[-1])[image].astype(np.float64))
        name = method_of(mean_activation).name
        baselines.append(Baseline(name, _resized(mean, grid), Verdict.NO_BETTER_THAN_MEAN))
    return Claim(
        method,
        layer,
        e.titles[image][target],
        target,
        on_grid(_there(e, place, ground), grid),
        tuple(baselines),
        unfit.get(status, ""),
        (*_notes(e, place), *(() if means else (_NO_MEAN,))),
        _probability(e, image, target),
    )


def _probability(e: Explanation, image: int, target: int) -> float:
    """That of the class whose evidence is explained; NaN of what has none, as evidence against a class."""
    info = e.targets[image][target]
    found = None if info.sign < 0 or info.against else e.probability(image, target)
    return float("nan") if found is None else found


def _there(e: Explanation, place: Place, ground: Places) -> Float[np.ndarray, "*space"]:
    """A map at the places that can be altered."""
    image, method, layer, target = place
    return ground.of_map(np.asarray(to_numpy(e.raw[method, layer])[image, target], np.float64))


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


def _resized(one: Float[np.ndarray, "*space"], grid: tuple[int, ...]) -> Float[np.ndarray, " *grid"]:
    """The mean activation on a grid that may be finer than it."""
    finer = any(cells > n for cells, n in zip(grid, one.shape, strict=True))
    return np.asarray(resize(one[None, None], grid)[0, 0] if finer else on_grid(one, grid))


# ------------------------------------------------------------------ the probes


def _by_fidelity(
    explainer: Explains,
    given: Any,
    wanted: Wanted,
    e: Explanation,
    means: Mapping[str, np.ndarray],
    counter: Counter,
    begin: Callable[[int], None],
) -> tuple[dict[Place, Judged], dict[tuple[int, tuple[int, ...]], Probed]]:
    """What fidelity says of each map, and the probes it was measured by."""
    places = _places(e)
    rows: dict[Place, Judged] = {}
    probes: dict[tuple[int, tuple[int, ...]], Probed] = {}
    with explainer.altering(given, targets=wanted.targets) as seen:
        grounds = [places_of(seen.inputs[image : image + 1]) for image in range(len(e))]
        grids: dict[tuple[int, tuple[int, ...]], list[Place]] = {}
        for place in places:
            try:
                ground = grounds[place[0]]
                grid = grid_of(_there(e, place, ground).shape, ground.x.shape[2:])
            except (
                InputError
            ) as error:  # a text's map, of which it cannot be told what belongs to which token
                rows[place] = unjudged(place[0], _bare(e, place), str(error))
                continue
            if why := too_small(grid, wanted.seed):
                rows[place] = unjudged(place[0], _claim(e, place, means, ground, grid), why)
            else:
                grids.setdefault((place[0], grid), []).append(place)
        counts = {key: wanted.probes or probes_on(key[1]) for key in grids}
        begin(sum(counts.values()))
        for (image, grid), its in grids.items():
            ground = grounds[image]
            asking = Asking(seen, image, ground, e.targets[image], wanted.seed, counter)
            probes[image, grid] = probed = asking.probed(grid, counts[image, grid])
            claims = [_claim(e, place, means, ground, grid) for place in its]
            rows |= dict(zip(its, judged(image, claims, probed, wanted.seed), strict=True))
    return {place: rows[place] for place in places}, probes


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
