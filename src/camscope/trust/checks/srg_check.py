"""Symmetric relevance gain, as the literature has it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from camscope.metrics.answers import distinct_maps
from camscope.metrics.measured_maps import named_maps
from camscope.metrics.removal_gain import SRG_SHARES, srg
from camscope.trust.checks.registry import Asked, Place, check
from camscope.trust.run_cost import Cost
from camscope.trust.verdict import Check, Interval

NAME = "srg"

_SAYS = "how much more of the probability is left where the least relevant goes first (0 by chance)"


def _cost(asked: Asked) -> Cost:
    return Cost(altered=2 * len(SRG_SHARES) * distinct_maps(asked.explanation))


@check(NAME, cost=_cost)
def srg_check(asked: Asked) -> Mapping[Place, Check]:
    """The symmetric relevance gain of each map; see `camscope.metrics.srg`. It is told, and nothing fails by it."""
    e = asked.explanation
    measured = srg(asked.explainer, asked.inputs, e, targets=asked.targets, seed=asked.seed)
    return {
        (image, method, layer, target): Check(
            NAME, Interval(float(number), float(number), float(number)), None, _SAYS
        )
        for (method, layer), name in zip(e.raw, named_maps(e).maps, strict=True)
        for (image, target), number in np.ndenumerate(measured[name])
    }
