"""Infidelity: how far what a map puts on removed parts is from what the score loses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from camscope.arrays import Array, to_numpy
from camscope.errors import InputError
from camscope.imputing import Constant, Imputer
from camscope.metrics.answers import asking
from camscope.metrics.explains import Explains
from camscope.metrics.localisation import at_size
from camscope.metrics.measured_maps import Maps, can_be_judged
from camscope.metrics.metric import Found, metric
from camscope.metrics.randomisation import checked_draws
from camscope.metrics.removal_order import removing
from camscope.metrics.text_places import places_of
from camscope.targets import TargetsLike

_ZERO = Constant(0.0)


@metric(
    higher_is_better=False,
    high=np.inf,
    paper="Yeh et al., NeurIPS 2019, arXiv:1901.09392; as in captum",
    cost="1 per copy (100), for all maps and targets together",
)
def infidelity(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike = None,
    copies: int = 100,
    side: float = 0.25,
    normalise: bool = True,
    imputer: Imputer = _ZERO,
    baselines: Mapping[str, Array] | None = None,
    seed: int = 0,
) -> Found:
    """E[(β Σ_{removed} M − (f(x) − f(x̃)))²], f the score, x̃ with a square removed at a place drawn at random.

    The map is resized to the input and stands for what each pixel contributes to the score (captum's
    `multiply_by_inputs`). A heatmap has no unit: with normalise=True its scale is the best one, β = E[mass · drop] /
    E[mass²], as in captum's `normalize`; otherwise β = 1, and the number says more of the map's scale than of the map.
    It is in squared units of the score, so only maps of one target and model can be compared. The number of a map that
    says nothing is E[drop²], which `beside` tells.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`.
        maps: see `camscope.metrics.measured_maps.Maps`; of these targets.
        targets: see `camscope.Explainer.__call__`: those that the maps are of. Their score is what is explained: of a
            class its logit.
        copies: how many squares, each removed by itself.
        side: of a square, as a share of each side of the input.
        normalise: whether the best scale of each map is taken.
        imputer: what is put in place of removed pixels.
        baselines: maps by name, of `baseline_maps`.
        seed: of the places.

    Raises:
        InputError: if maps and inputs do not fit, or the side is none.
    """
    if not 0 < side < 1:
        raise InputError(f"side={side!r}: expected a share of the input's sides, above 0 and below 1.")
    checked_draws(copies, "copies")
    with asking(explainer, inputs, maps, targets, baselines) as (named, seen):
        assert seen.masked is not None
        clean = np.asarray(to_numpy(seen.responses.scores), np.float64)
        found = {name: np.full(clean.shape, np.nan) for name in named.maps}
        nothing = np.zeros(clean.shape)
        for image, own in enumerate(clean):
            places = places_of(seen.inputs[image : image + 1])
            size = tuple(places.x.shape[2:])
            gone = squares(size, side, copies, seed)
            said = seen.masked(image, copies, places.whole(removing(places.x, imputer, gone.__getitem__)))
            drops = own - np.asarray(to_numpy(said.scores), np.float64)
            nothing[image] = (drops**2).mean(0)
            for name, all_maps in named.maps.items():
                wide = np.broadcast_to(all_maps[image], (len(own), *all_maps.shape[2:]))
                for target, one in enumerate(wide):
                    if can_be_judged(one):
                        mass = gone.reshape(copies, -1) @ at_size(places.of_map(one), size).ravel()
                        found[name][image, target] = infidelity_of(mass, drops[:, target], normalise)
    return found, named.baselines, {"of a map that says nothing": dict.fromkeys(named.maps, nothing)}


def squares(size: tuple[int, ...], side: float, copies: int, seed: int) -> Bool[np.ndarray, " copy *size"]:
    """True in a square (an interval, a cube) of each copy, wholly inside, at a place drawn at random.

    Args:
        size: of the input.
        side: as a share of each axis; a pixel at least.
        copies: how many.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    inside = np.ones((copies, *size), bool)
    for axis, n in enumerate(size):
        length = max(1, round(side * n))
        start = random.integers(0, n - length + 1, (copies, 1))
        along = (np.arange(n) >= start) & (np.arange(n) < start + length)
        inside &= along.reshape(copies, *(n if a == axis else 1 for a in range(len(size))))
    return inside


def infidelity_of(
    mass: Float[np.ndarray, " copy"], drops: Float[np.ndarray, " copy"], normalise: bool
) -> float:
    """The mean squared difference; with the best scale of the mass if that is wanted.

    Args:
        mass: what the map puts on what is removed.
        drops: what the score loses.
        normalise: whether the best scale is taken.
    """
    if normalise:
        size = float(mass @ mass)
        mass = mass * (float(mass @ drops) / size if size else 0.0)
    return float(((mass - drops) ** 2).mean())
