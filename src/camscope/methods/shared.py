"""Intermediate results that several methods are made of, computed once for the evidence they come from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar, cast

from camscope.evidence import Evidence

Result = TypeVar("Result")


def shared(function: Callable[[Evidence], Result]) -> Callable[[Evidence], Result]:
    """Keep what a function makes of some evidence as long as the evidence lives."""

    @functools.wraps(function)
    def once(evidence: Evidence) -> Result:
        if function.__qualname__ not in evidence.shared:
            evidence.shared[function.__qualname__] = function(evidence)
        return cast(Result, evidence.shared[function.__qualname__])

    return once
