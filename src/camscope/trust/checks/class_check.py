"""Does the map follow the class? The maps of the two likeliest classes, held against each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from camscope.arrays import to_numpy
from camscope.metrics.measured_maps import can_be_judged
from camscope.metrics.rank_correlation import rank_correlations
from camscope.trust.checks.registry import Asked, Place, check
from camscope.trust.run_cost import Cost
from camscope.trust.verdict import Check, Interval

NAME = "class"

_SAME = 1e-6
"""Maps whose ranks differ by less are one map."""


@check(NAME, cost=lambda asked: Cost())  # both classes are explained beside what is asked for
def class_check(asked: Asked) -> Mapping[Place, Check]:
    """1 − the rank correlation of the raw maps of the top class and of the runner-up; of all targets of an image alike.

    It is told, and only a map that is the same for both fails: classes that are alike may well be seen by the same.
    """
    e, two = asked.explanation, asked.top_two
    found: dict[Place, Check] = {}
    for method, layer in e.raw:
        for image, targets in enumerate(e.targets):
            said = (
                _unjudged("the model has no two classes to compare")
                if two is None or (method, layer) not in two.raw
                else _of(
                    to_numpy(two.raw[method, layer])[image].astype(np.float64),
                    [info.name for info in two.targets[image]],
                )
            )
            found |= {(image, method, layer, target): said for target in range(len(targets))}
    return found


def _of(maps: Float[np.ndarray, " 2 *space"], names: list[str]) -> Check:
    if not all(map(can_be_judged, maps)):
        return _unjudged(f"the map of {names[0]} or {names[1]} is flat or not finite")
    flat = maps.reshape(2, -1)
    number = 1 - float(rank_correlations(flat[:1], flat[1:])[0])
    same = number < _SAME
    words = (
        f"the same map for {names[0]} and for {names[1]}: it does not follow the class"
        if same
        else f"between the maps of {names[0]} and {names[1]} (0: the same, 1: unrelated, 2: opposite)"
    )
    return Check(NAME, Interval(number, number, number), False if same else None, words)


def _unjudged(why: str) -> Check:
    nan = float("nan")
    return Check(NAME, Interval(nan, nan, nan), None, why)
