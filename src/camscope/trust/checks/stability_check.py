"""Is the map stable? Its likeness to the maps of inputs that are nearly the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from camscope.errors import InputError
from camscope.metrics.made_again import calls_of
from camscope.metrics.measured_maps import explained_names
from camscope.metrics.sensitivity import COPIES, STAYED, check_copies, stability
from camscope.trust.checks.registry import Asked, Place, check, untold
from camscope.trust.run_cost import Cost
from camscope.trust.verdict import Check, Interval

NAME = "stability"


def _cost(asked: Asked) -> Cost:
    e = asked.explanation
    try:
        check_copies(asked.inputs, asked.targets)
    except InputError:  # as the test is going to say
        return Cost()
    return Cost(again=COPIES * len(e) * len(calls_of(e)))


@check(NAME, cost=_cost)
def stability_check(asked: Asked) -> Mapping[Place, Check]:
    """The mean rank correlation of a map with those of eight copies that are nearly the same input.

    See `camscope.metrics.stability`. It is told, and nothing fails by it: the centre is the most stable map there is.
    """
    try:
        measured = stability(
            asked.explainer, asked.inputs, asked.explanation, targets=asked.targets, seed=asked.seed
        )
    except InputError as refused:
        return untold(asked, NAME, str(refused))
    found: dict[Place, Check] = {}
    for (method, layer), name in explained_names(asked.explanation).items():
        stayed = measured.beside[STAYED][name]
        for (image, target), number in np.ndenumerate(measured[name]):
            share = stayed[image, target]
            words = (
                f"rank correlation with the maps of nearly equal inputs, of which {share:.0%} keep the top class"
                if not np.isnan(number)
                else "the map is flat or not finite, or the top class is another one in every copy"
            )
            found[image, method, layer, target] = Check(
                NAME, Interval(float(number), float(number), float(number)), None, words
            )
    return found
