"""Does the map follow the weights? Its likeness to the maps of copies whose weights are drawn anew."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from camscope.errors import InputError, ModelError
from camscope.metrics.made_again import calls_of
from camscope.metrics.measured_maps import explained_names
from camscope.metrics.randomisation import DRAWS, LOWER, model_randomisation
from camscope.trust.checks.registry import Asked, Place, check, untold
from camscope.trust.run_cost import Cost
from camscope.trust.verdict import Check, Interval

NAME = "weights"

_MOST = 0.5
"""The lower bound of the likeness, from which on a map does not follow the weights."""


def _cost(asked: Asked) -> Cost:
    e = asked.explanation
    try:
        asked.explainer.weighted_layers(asked.inputs)
    except (InputError, ModelError):  # no copy can be made, as the test is going to say
        return Cost()
    return Cost(again=2 * DRAWS * len(e) * len(calls_of(e)))


@check(NAME, cost=_cost)
def weights_check(asked: Asked) -> Mapping[Place, Check]:
    """The map beside those of five copies with all weights drawn anew, and of five with another head alone.

    It fails where the lower 95 % bound of the likeness is above 0.5, in either case; the larger one is told. See
    `camscope.metrics.model_randomisation`.
    """
    e = asked.explanation
    try:
        whole, head = (
            model_randomisation(
                asked.explainer, asked.inputs, e, targets=asked.targets, head_only=only, seed=asked.seed
            )
            for only in (False, True)
        )
    except (InputError, ModelError) as refused:
        return untold(asked, NAME, str(refused))
    found: dict[Place, Check] = {}
    for (method, layer), name in explained_names(e).items():
        for image, target in np.ndindex(whole[name].shape):
            place = image, target
            numbers = {
                words: (float(measured[name][place]), float(measured.beside[LOWER][name][place]))
                for words, measured in (("with all weights", whole), ("with the head's weights alone", head))
            }
            found[image, method, layer, target] = _said(numbers)
    return found


def _said(numbers: Mapping[str, tuple[float, float]]) -> Check:
    if any(np.isnan(mean) for mean, _ in numbers.values()):
        nan = float("nan")
        why = "the map is flat or not finite, or with other weights the model does not find what is explained"
        return Check(NAME, Interval(nan, nan, nan), None, why)
    where = max(numbers, key=lambda words: numbers[words][1])
    mean, low = numbers[where]
    passed = not low > _MOST
    words = "as it should" if passed else "so it shows the input more than what the model does with it"
    likeness = f"likeness {mean:.2f} to the maps {where} drawn anew (1: the same, 0: unrelated)"
    changes = "the map changes" if passed else "the map hardly changes"
    return Check(NAME, Interval(mean, low, np.inf), passed, f"{changes}, {words}: {likeness}")
