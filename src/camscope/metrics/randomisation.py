"""Does the map follow the weights, and what they were trained on? Maps beside those of a model with other weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError
from camscope.metrics.explains import Explains
from camscope.metrics.made_again import Again, OfMaps, again, joined
from camscope.metrics.measured_maps import Maps
from camscope.metrics.metric import Found, metric
from camscope.metrics.similar_maps import likeness, likeness_within_reach, map_entropy
from camscope.targets import TargetsLike

DRAWS = 5
"""Of all weights."""

LOWER = "lower 95 % bound"
"""What stands beside the mean over several draws."""

_SANITY = "Adebayo et al., NeurIPS 2018, arXiv:1810.03292"


@metric(higher_is_better=False, low=-1.0, paper=_SANITY, cost="that of the map, per draw (5)")
def model_randomisation(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    draws: int = DRAWS,
    head_only: bool = False,
    baselines: Iterable[str] = (),
    seed: int = 0,
) -> Found:
    """Mean over draws of the rank correlation of |M| and |M'|, M' of a copy whose weights are all drawn anew.

    A map that looks the same shows the input, and not what the model does with it: it fails where `beside`'s lower 95 %
    bound (one-sided, Student's t over the draws) is above 0.5. Of a map of more than 196 cells the place and
    the detail are looked at, and the larger counts: guided Grad-CAM takes its place from the head, and its detail from
    the picture, which only head_only=True brings to light. An instance is the one at the same box; NaN where the copy
    finds none there. A region where its class is predicted is that of the copy.

    Args:
        explainer: of the model, which is left as it is; see `camscope.Explainer.randomised`.
        inputs: see `camscope.Explainer.__call__`.
        maps: an explanation of them, since the maps are made again.
        targets: see `camscope.Explainer.__call__`: those that the maps are of, where they are no single classes.
        draws: of all weights.
        head_only: draw the weights of the last layer alone.
        baselines: names of baselines, such as ("centre", "mean-activation"), or what `baseline_maps` gives.
        seed: of the first draw.

    Raises:
        InputError: if maps and inputs do not fit, or there are not two draws.
        ModelError: if of such a model no copy with other weights can be made.
    """
    make = again(explainer, inputs, maps, targets, baselines)
    found = []
    for one in range(checked_draws(draws)):
        other = explainer.randomised(make.inputs, seed=seed + one, head_only=head_only)
        found.append(likened(make, other, likeness))
    each = {name: np.stack([values[name] for values in found]) for name in make.maps}
    return (
        {name: values.mean(0) for name, values in each.items()},
        make.baselines,
        {LOWER: {name: lower_bound(values) for name, values in each.items()}},
    )


@metric(higher_is_better=False, low=-1.0, paper=_SANITY, cost="that of the map")
def data_randomisation(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    shuffled: Explains,
    *,
    targets: TargetsLike = None,
    baselines: Iterable[str] = (),
) -> Found:
    """The rank correlation of |M| and |M'|, M' of the same network trained on labels that were shuffled.

    Such a network has learnt its images by heart, and knows of no class what it looks like. Train both alike; with
    `camscope.training` it is the same call on two tables of labels:

        labelled = camscope.training.LabelledImages.from_folder("photos")
        shuffled = dataclasses.replace(labelled, labels=rng.permutation(labelled.labels))

    Args:
        explainer: of the network that was trained on true labels.
        inputs: see `camscope.Explainer.__call__`.
        maps: an explanation of them by this explainer.
        shuffled: the explainer of the network that was trained on shuffled labels, with the same layers.
        targets: see `camscope.Explainer.__call__`: those that the maps are of, where they are no single classes.
        baselines: names of baselines, such as ("centre", "mean-activation").

    Raises:
        InputError: if maps and inputs do not fit.
        LayerError: if the second network has no such layer.
    """
    make = again(explainer, inputs, maps, targets, baselines)
    return likened(make, shuffled, likeness), make.baselines


@metric(higher_is_better=False, low=-1.0, paper=_SANITY, cost="that of the map, per layer with weights")
def mprt(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    steps: int | None = None,
    similarity: OfMaps = likeness,
    baselines: Iterable[str] = (),
    seed: int = 0,
) -> Found:
    """Mean over a cascade of the rank correlation of |M| and |M'|: the weights are drawn anew from the top down.

    First those of the head alone, then of the layer before it too, until all are. `beside` has the single steps, in
    order. Each tensor has a generator of its own, so that layers of one shape get different weights and a layer keeps
    its draw along the cascade; both maps are compared by their size, raw, without being scaled or cut.

    Args:
        explainer: of the model, which is left as it is.
        inputs: see `camscope.Explainer.__call__`.
        maps: an explanation of them, since the maps are made again.
        targets: see `camscope.Explainer.__call__`: those that the maps are of, where they are no single classes.
        steps: how many steps are looked at, of as many as there are layers with weights; None looks at all.
        similarity: from two maps to a number.
        baselines: names of baselines, such as ("centre", "mean-activation").
        seed: of the draws.

    Raises:
        InputError: if maps and inputs do not fit.
        ModelError: if of such a model no copy with other weights can be made.
    """
    make = again(explainer, inputs, maps, targets, baselines)
    layers = explainer.weighted_layers(make.inputs)
    counts = np.arange(1, len(layers) + 1)
    if steps is not None:
        checked_draws(steps, "steps")
        counts = np.unique(np.linspace(1, len(layers), steps).round().astype(int))
    cascade = {}
    for count in counts.tolist():
        other = explainer.randomised(make.inputs, seed=seed, layers=layers[-count:])
        cascade[f"down to {layers[-count] or 'the first weights'}"] = likened(make, other, similarity)
    values = {name: np.mean([step[name] for step in cascade.values()], 0) for name in make.maps}
    return values, make.baselines, cascade


@metric(
    higher_is_better=True,
    low=-1.0,
    high=np.inf,
    paper="Hedström et al., 2024, arXiv:2401.06465",
    cost="that of the map, per draw (5)",
)
def emprt(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    draws: int = DRAWS,
    bins: int = 100,
    baselines: Iterable[str] = (),
    seed: int = 0,
) -> Found:
    """(ξ(M') − ξ(M)) / ξ(M), ξ the entropy of a map's histogram, M' of a copy whose weights are all drawn anew.

    Efficient MPRT: a map that says something is simpler than what is left of it when the weights mean nothing. Nothing
    is compared place by place. Maps are resized to the input first, as those of the paper are.

    Args:
        explainer: of the model, which is left as it is.
        inputs: see `camscope.Explainer.__call__`.
        maps: an explanation of them, since the maps are made again.
        targets: see `camscope.Explainer.__call__`: those that the maps are of, where they are no single classes.
        draws: of all weights, over which the mean is taken; the paper has one.
        bins: of the histogram, from the least value of a map to its largest.
        baselines: names of baselines, such as ("centre", "mean-activation").
        seed: of the first draw.

    Raises:
        InputError: if maps and inputs do not fit.
        ModelError: if of such a model no copy with other weights can be made.
    """
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 2:
        raise InputError(f"bins={bins!r}: expected how many bins the histogram has, such as 100.")
    make = again(explainer, inputs, maps, targets, baselines)
    size = make.explained.input_size

    def rise(own: Float[np.ndarray, "*space"], random: Float[np.ndarray, "*space"]) -> float:
        before, after = (map_entropy(m, size, int(bins)) for m in (own, random))
        return (after - before) / before if before else np.nan

    found = []
    for one in range(checked_draws(draws)):
        other = explainer.randomised(make.inputs, seed=seed + one)
        found.append(likened(make, other, rise))
    return {name: np.mean([values[name] for values in found], 0) for name in make.maps}, make.baselines


def likened(make: Again, other: Explains, measure: OfMaps) -> dict[str, Float[np.ndarray, "batch target"]]:
    """A number for each map and what another model makes of it.

    Args:
        make: the maps.
        other: explains the other model.
        measure: gets both maps.
    """
    if measure is likeness and make.of_instances:
        measure = likeness_within_reach
    return joined(part.compared(other, measure) for part in make.parts)


def lower_bound(each: Float[np.ndarray, "draw batch target"]) -> Float[np.ndarray, "batch target"]:
    """The one-sided lower 95 % bound of the mean over draws, by Student's t."""
    from scipy.stats import t

    n = len(each)
    bound: np.ndarray = each.mean(0) - t.ppf(0.95, n - 1) * each.std(0, ddof=1) / np.sqrt(n)
    return bound


def checked_draws(draws: int, name: str = "draws") -> int:
    """How often something is drawn, at least twice, for one alone has no spread.

    Args:
        draws: as the user says it.
        name: of the argument.

    Raises:
        InputError: if it is no such number.
    """
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 2:
        raise InputError(f"{name}={draws!r}: expected a whole number, 2 at least, such as 5.")
    return int(draws)
