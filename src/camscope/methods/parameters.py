"""The parameters of methods and compositions: read from their signatures, checked before any work is done."""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from camscope.errors import MethodError, nearest

Parameters: TypeAlias = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Range:
    """The values a number may take, ends included."""

    low: float
    high: float = float("inf")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and math.isfinite(value)

    def __str__(self) -> str:
        return f"at least {self.low:g}" if self.high == float("inf") else f"{self.low:g} to {self.high:g}"


Count: TypeAlias = Annotated[int, Range(1)]
Share: TypeAlias = Annotated[float, Range(0, 1)]
NonNegative: TypeAlias = Annotated[float, Range(0)]
Factor: TypeAlias = Annotated[float, Range(0.01, 100)]


def as_text(value: Any) -> str:
    """A value as it is written in text: lists in square brackets, numbers as short as they can be."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(as_text, value))}]"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def signature(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Each keyword-only parameter's type and default."""
    hints = typing.get_type_hints(function, include_extras=True)
    return {
        name: (hints[name], parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def checked(name: str, function: Callable[..., Any], values: Mapping[str, Any]) -> Parameters:
    """The values in the order of the signature, without those that equal the default.

    Args:
        name: the method's name, for messages.
        function: the method's function, whose keyword-only arguments are the parameters.
        values: the given values, by name.

    Raises:
        MethodError: for an unknown parameter (with the nearest) or a value that does not fit.
    """
    valid = signature(function)
    for given in values:
        if given not in valid:
            has = f"It has {', '.join(valid)}." if valid else "It has none."
            raise MethodError(f"{name} has no parameter {given!r}.{nearest(given, valid)} {has}")
    return tuple(
        (parameter, _fit(name, parameter, values[parameter], kind))
        for parameter, (kind, default) in valid.items()
        if parameter in values and values[parameter] != default
    )


def checked_fields(name: str, composition: Any) -> Parameters:
    """The fields of a composition besides its `inner` expression, checked in the same way.

    Raises:
        MethodError: for a value that does not fit.
    """
    hints = typing.get_type_hints(type(composition), include_extras=True)
    return tuple(
        (f.name, _fit(name, f.name, getattr(composition, f.name), hints[f.name]))
        for f in dataclasses.fields(composition)
        if f.name != "inner"
    )


def _fit(name: str, parameter: str, value: Any, kind: Any) -> Any:
    """The value as the parameter's type: integers become floats, and numbers become text where a word is expected.

    Raises:
        MethodError: if it does not fit.
    """
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    expected = []
    hint = ""
    for one in kinds:
        if one is NoneType:
            if value is None:
                return None
            expected.append("none")
            continue
        limits: Range | None = None
        if get_origin(one) is Annotated:
            one, limits = get_args(one)
        if get_origin(one) is Literal:
            choices = get_args(one)
            if value in choices:
                return value
            expected.append(f"one of {', '.join(map(str, choices))}")
            hint += nearest(str(value), choices)
            continue
        if get_origin(one) is tuple:
            inner = get_args(one)[0]
            if isinstance(value, (tuple, list)) and value:
                return tuple(_fit(name, parameter, item, inner) for item in value)
            expected.append("a list that is not empty")
            continue
        if one is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if one is str and isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)  # 0.9 in `augment(gradcam, [flip, 0.9])` is a word that looks like a number
        right_type = isinstance(value, one) and (one is bool or not isinstance(value, bool))
        if right_type and (limits is None or value in limits):
            return value
        expected.append(f"{one.__name__}{f' ({limits})' if limits else ''}")
    raise MethodError(f"{name}: {parameter}={value!r}; expected {' or '.join(expected)}.{hint}")
