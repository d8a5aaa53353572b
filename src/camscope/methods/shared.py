"""Intermediate results that several methods are made of, computed once for the evidence they come from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def shared(function: Function) -> Function:
    """Keep what a function makes of some evidence, and of hashable arguments, as long as the evidence lives."""

    @functools.wraps(function)
    def once(evidence: Any, *args: Any) -> Any:
        key = (function.__qualname__, *args)
        if key not in evidence.shared:
            evidence.shared[key] = function(evidence, *args)
        return evidence.shared[key]

    return cast(Function, once)
