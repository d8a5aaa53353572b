"""Intermediate results that several methods use, computed once and kept with the evidence they come from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def shared(function: Function) -> Function:
    """Call a function of evidence (and of hashable arguments) once, and keep its result with the evidence."""

    @functools.wraps(function)
    def once(evidence: Any, *args: Any) -> Any:
        key = (function.__module__, function.__qualname__, *args)
        if key not in evidence.shared:
            evidence.shared[key] = function(evidence, *args)
        return evidence.shared[key]

    return cast(Function, once)
