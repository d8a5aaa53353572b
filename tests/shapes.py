"""Turns every shape in camscope's annotations into a check at run time, in all tests."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))
_jaxtyped = jaxtyping.jaxtyped


def install() -> None:
    """Check camscope from now on; before it is imported."""
    jaxtyping.jaxtyped = _refusing
    jaxtyping.install_import_hook("camscope", "tests.shapes.checked")


def checked(function: Callable) -> Callable:
    """Check the arrays of a signature. Its other types are mypy's to check.

    Args:
        function: with the signature that is checked and no body, as jaxtyping makes it.
    """
    hints = {name: hint if _holds_array(hint) else Any for name, hint in function.__annotations__.items()}
    optional = len(function.__defaults__ or ()), *(function.__kwdefaults__ or ())
    where = function.__module__, function.__qualname__, function.__code__
    key = *where, optional, repr(hints)  # by what they say: the hints themselves are made anew as well
    if key not in _checks:
        function.__annotations__ = hints
        _checks[key] = _beartype(function)
    return _checks[key]


_checks: dict[tuple, Callable] = {}
"""The checks of a signature, made once: a function inside a function is made anew at every call."""


def _holds_array(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    if typing.get_origin(hint) is collections.abc.Callable:
        return False  # what it will return cannot be seen yet
    return any(_holds_array(part) for part in typing.get_args(hint))


_annotated: dict[tuple[str, types.CodeType], bool] = {}
"""Whether a signature holds an array, found once likewise."""


def _takes_or_gives_arrays(function: Callable) -> bool:
    """Whether there is anything to check; what jaxtyping cannot resolve it does not check either."""
    key = function.__module__, function.__code__
    if key not in _annotated:
        hints = (_resolved(hint, function.__globals__) for hint in function.__annotations__.values())
        _annotated[key] = any(_holds_array(hint) for hint in hints)
    return _annotated[key]


def _resolved(annotation: Any, namespace: dict[str, Any]) -> Any:
    """One annotation by itself, as jaxtyping resolves it: Any if it has a name that is not there yet."""
    alone = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(alone, namespace, include_extras=True)["it"]
    except Exception:
        return Any


def _refusing(**options: Any) -> Callable:
    """As `jaxtyping.jaxtyped`, but only where there are arrays, and a function may refuse a wrong shape itself.

    Tests give wrong shapes on purpose.
    """
    decorate = _jaxtyped(**options)

    def decorated(function: Any) -> Any:
        if inspect.isclass(function):
            made = dataclasses.is_dataclass(function) and inspect.isfunction(function.__init__)
            return decorate(function) if made and _takes_or_gives_arrays(function.__init__) else function
        if not _takes_or_gives_arrays(function):
            return function
        checks = decorate(function)
        mine = f"checking the parameters of {function.__module__}.{function.__qualname__}."

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return checks(*args, **kwargs)
            except TypeCheckError as error:
                if mine not in str(error).partition("\n")[0]:
                    raise
                function(
                    *args, **kwargs
                )  # raises what the function itself says of such arguments, if it does
                raise

        return call

    return decorated
