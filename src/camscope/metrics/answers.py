"""What the model says of inputs that were altered by maps: all metrics that run the model go through here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Shaped

from camscope.arrays import Array, to_numpy
from camscope.errors import InputError
from camscope.evidence import ModelEvidence, Variants
from camscope.metrics.explains import Explains
from camscope.metrics.measured_maps import Maps, Named, can_be_judged, check_images, named_maps
from camscope.metrics.text_places import places_of
from camscope.results import Explanation
from camscope.targets import TargetsLike

Alter: TypeAlias = Callable[
    [Shaped[Array, "1 channel *size"], Float[np.ndarray, "*space"]], tuple[int, Variants]
]
"""From one input and one of its maps: how many altered copies there are, and what makes them."""

Reduce: TypeAlias = Callable[[Float[np.ndarray, " copy"], float], float]
"""From the probabilities of the altered copies, and of the input as it is, to the metric's number."""


def measured_by_altering(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    *,
    targets: TargetsLike,
    baselines: Mapping[str, Array] | None,
    alter: Alter,
    reduce: Reduce,
    of_probabilities: bool = False,
) -> tuple[dict[str, Float[np.ndarray, "batch target"]], tuple[str, ...]]:
    """Alter each input by each of its maps, ask the model, and reduce what it says of the map's target to a number.

    Maps of one image that are the same for several targets, as the baselines are, are run once for all of them. A map
    that is flat or not finite is not run; its number is NaN.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`.
        maps: see `camscope.metrics.measured_maps.Maps`.
        targets: the maps' own.
        baselines: maps by name, of `baseline_maps`.
        alter: makes the altered copies.
        reduce: makes the number.
        of_probabilities: whether it makes sense only for what lies in [0, 1].

    Returns:
        The numbers by name, and the names of the baselines.

    Raises:
        InputError: if maps and inputs do not fit, or the model gives no probabilities where they are needed.
    """
    with asking(explainer, inputs, maps, targets, baselines) as (named, seen):
        clean = np.asarray(to_numpy(seen.responses.probabilities), np.float64)
        if of_probabilities:
            _check_probabilities(clean)
        found = {
            name: np.array(
                [
                    _of_image(seen, image, own[image], clean[image], alter, reduce)
                    for image in range(len(clean))
                ]
            )
            for name, own in named.maps.items()
        }
    return found, named.baselines


@contextmanager
def asking(
    explainer: Explains,
    inputs: Any,
    maps: Maps,
    targets: TargetsLike,
    baselines: Mapping[str, Array] | None,
) -> Iterator[tuple[Named, ModelEvidence]]:
    """A context in which the model can be asked what it says of altered inputs, of the targets of maps that fit.

    Args:
        explainer: of the model.
        inputs: see `camscope.Explainer.__call__`.
        maps: see `camscope.metrics.measured_maps.Maps`.
        targets: the maps' own.
        baselines: maps by name, of `baseline_maps`.

    Yields:
        named: the maps by name.
        seen: the model.

    Raises:
        InputError: if maps and inputs do not fit.
    """
    check_explains(explainer)
    named = named_maps(maps, baselines)
    with explainer.altering(inputs, targets=targets) as seen:
        _check(named, seen)
        if isinstance(maps, Explanation):
            check_same(maps, seen)
        yield named, seen


def _of_image(
    seen: ModelEvidence,
    image: int,
    maps: Float[np.ndarray, " target_or_1 *space"],
    clean: Float[np.ndarray, " target"],
    alter: Alter,
    reduce: Reduce,
) -> Float[np.ndarray, " target"]:
    assert seen.masked is not None
    places = places_of(seen.inputs[image : image + 1])
    numbers = np.full(len(clean), np.nan)
    wide = np.broadcast_to(maps, (len(clean), *maps.shape[1:]))
    for same in _alike(wide):
        count, variants = alter(places.x, places.of_map(wide[same[0]]))
        said = to_numpy(seen.masked(image, count, places.whole(variants)).probabilities).astype(np.float64)
        for target in same:
            numbers[target] = reduce(said[:, target], float(clean[target]))
    return numbers


def _alike(maps: Float[np.ndarray, " target *space"]) -> list[list[int]]:
    """The numbers of the targets whose maps are the same, for each map that can be judged."""
    left = [target for target, one in enumerate(maps) if can_be_judged(one)]
    found = []
    while left:
        same = [target for target in left if np.array_equal(maps[target], maps[left[0]])]
        left = [target for target in left if target not in same]
        found.append(same)
    return found


def distinct_maps(e: Explanation) -> int:
    """Of how many maps of an explanation inputs are altered: those that can be judged, an image's equal ones once.

    Args:
        e: the explanation.
    """
    return sum(len(_alike(own)) for maps in named_maps(e).maps.values() for own in maps)


def check_explains(explainer: Any) -> None:
    """Refuse what is no explainer.

    Raises:
        InputError: saying what comes first.
    """
    if not isinstance(explainer, Explains):
        raise InputError(
            f"The first argument is of the type {type(explainer).__name__}: expected an Explainer, and "
            "then the inputs and the maps."
        )


def _check(named: Named, seen: ModelEvidence) -> None:
    batch, targets = (int(n) for n in seen.responses.scores.shape)
    axes = len(seen.inputs.shape) - 2
    check_images("Inputs", batch, named.batch)
    for name, own in named.maps.items():
        if own.ndim != axes + 2 or own.shape[1] not in (1, targets):
            raise InputError(
                f"The map {name!r} has the shape {own.shape}. Of these inputs and targets it must have the shape "
                f"({batch}, {targets}{'' if targets == 1 else ' or 1'}, …) with {axes} axes of space: pass the same "
                "targets= that the maps are of."
            )


def _check_probabilities(clean: Float[np.ndarray, "batch target"]) -> None:
    if not ((clean >= 0) & (clean <= 1)).all():
        raise InputError(
            "This compares probabilities, and what the model says of these targets is none, as of a regression, of "
            "evidence against a class, or of a score of your own. Use metrics.srg, deletion or insertion."
        )


def check_same(explained: Explanation, seen: ModelEvidence) -> None:
    """Refuse an explanation of other inputs or targets, whose scores are others.

    Args:
        explained: the explanation.
        seen: what the model says of the inputs.

    Raises:
        InputError: saying both.
    """
    before, now = (np.asarray(to_numpy(one), np.float64) for one in (explained.scores, seen.responses.scores))
    # by target: beside a price of thousands a probability would never be another
    if before.shape != now.shape or not np.allclose(before, now, rtol=1e-2, atol=1e-2 * np.abs(now).max(0)):
        raise InputError(
            f"The explanation is of scores of {np.round(before.ravel()[:3], 3).tolist()} …; for these "
            f"inputs and targets= they are {np.round(now.ravel()[:3], 3).tolist()} …. Pass the same inputs, and the "
            "same targets= as to the explainer."
        )
