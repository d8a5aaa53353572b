"""Turns every shape in camscope's annotations into a check at run time, in all tests."""

from __future__ import annotations

import collections.abc
import functools
import inspect
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
    """Check the arrays of a signature. Its other types are mypy's to check."""
    function.__annotations__ = {
        name: hint if _holds_array(hint) else Any for name, hint in function.__annotations__.items()
    }
    return _beartype(function)


def _holds_array(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    if typing.get_origin(hint) is collections.abc.Callable:
        return False  # what it will return cannot be seen yet
    return any(_holds_array(part) for part in typing.get_args(hint))


def _refusing(**options: Any) -> Callable:
    """As `jaxtyping.jaxtyped`, but a function may refuse a wrong shape itself: tests give such on purpose."""
    decorate = _jaxtyped(**options)

    def decorated(function: Any) -> Any:
        checks = decorate(function)
        if not inspect.isfunction(checks):
            return checks
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
