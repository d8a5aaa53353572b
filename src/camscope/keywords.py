"""Keywords as people write them: singular and plural are both understood, and a misspelt one names the right one.

A seed means the same everywhere, so what is none is refused here, before anything long runs.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

from camscope.errors import InputError, KeywordError, keyword

P = ParamSpec("P")
R = TypeVar("R")

_CALLS: dict[str, str] = {}
"""Keywords by name, each as a call that takes it is written: `e.figure(colormap=…)`."""

_WHICH = frozenset({"image", "target", "method", "layer"})
"""Say which of the maps of an explanation is meant, in so many calls that none of them is where they belong."""


def keywords(
    call: str,
    *,
    passes_on: Callable[..., Any] | None = None,
    elsewhere: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function understand its keywords in singular and plural, and name the nearest of a misspelt one.

    Args:
        call: how it is called, with `{}` for a keyword: `explainer(x, {})`.
        passes_on: the function that gets the keywords which this one does not name.
        elsewhere: keywords that one would give here, and the calls that take them.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        signature, own = inspect.signature(function), list(_names(function))
        everything = [*own, *(_names(passes_on) if passes_on else ())]
        passes_unknown = passes_on is None and _takes_any(function)
        belonging(
            call, (name for name in own if signature.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY)
        )

        draws = "seed" in own and isinstance(signature.parameters["seed"].default, int)

        @functools.wraps(function)
        def understanding(*args: P.args, **kwargs: P.kwargs) -> R:
            if draws and "seed" in kwargs:
                _check_seed(kwargs["seed"])
            if not kwargs.keys() <= own_set:
                given = in_number(kwargs, everything, call)
                for name in given:
                    if not passes_unknown and name not in everything:
                        raise _unknown(name, everything, call, elsewhere or {})
                return function(*args, **given)
            return function(*args, **kwargs)

        own_set = frozenset(own)
        return understanding

    return decorated


def _check_seed(seed: Any) -> None:
    """Refuse what generators take for no seed, or draw from without one."""
    whole = isinstance(seed, Integral) and not isinstance(seed, bool)
    if not whole or not 0 <= int(seed) < 2**32:
        raise InputError(
            f"{keyword('seed', seed)}: expected a whole number, 0 at least and below 2³². The same seed draws the same."
        )


def belonging(call: str, names: Iterable[str]) -> None:
    """Note where keywords belong, for those who give them elsewhere.

    Args:
        call: how it is called, with `{}` for a keyword.
        names: of the keywords.
    """
    for name in names:
        if name in _WHICH:
            continue
        _CALLS.setdefault(name, call.format(f"{name}=…"))


def in_number(given: Mapping[str, Any], known: Iterable[str], call: str) -> dict[str, Any]:
    """The keywords with those in singular that are meant in plural, and the other way round, under their names.

    Args:
        given: as the user gave them.
        known: the names there are.
        call: how the function is called, for the message.

    Raises:
        KeywordError: if both are given.
    """
    names = frozenset(known)
    meant: dict[str, Any] = {}
    for name, value in given.items():
        other = _other_number(name)
        right = other if name not in names and other in names else name
        if right in meant or (right != name and right in given):
            raise KeywordError(
                f"{call.format(f'{other}=…, {name}=…')}: these are the same. Give one of them."
            )
        meant[right] = value
    return meant


def _other_number(name: str) -> str:
    """The plural of a word in singular, and the other way round."""
    return name.removesuffix("s") if name.endswith("s") else f"{name}s"


def _names(function: Callable[..., Any]) -> Iterable[str]:
    """Those that a function takes by keyword."""
    parameters = list(inspect.signature(function).parameters.values())
    by_name = (p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
    return (p.name for p in by_name if p.name not in ("self", "cls"))


def _takes_any(function: Callable[..., Any]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def _unknown(name: str, known: Iterable[str], call: str, elsewhere: Mapping[str, str]) -> KeywordError:
    """The error of a keyword that a function does not take."""
    own = list(known)
    said = f"{call.format('…')} takes no {name!r}."
    for way in sorted(
        (name, _other_number(name)), reverse=True
    ):  # the plural first: e.maps(method=…) takes one of them
        if belongs := elsewhere.get(way, _CALLS.get(way)):
            return KeywordError(f"{said} It belongs to {belongs}.")
    ways = {way: one for one in reversed(own) for way in (one, _other_number(one))}
    if near := difflib.get_close_matches(name.lower(), ways, n=1, cutoff=0.65):
        return KeywordError(f"{said} Did you mean {ways[near[0]]!r}?")
    if near := difflib.get_close_matches(name.lower(), _CALLS, n=1, cutoff=0.8):
        return KeywordError(f"{said} Did you mean {_CALLS[near[0]]}?")
    return KeywordError(f"{said} It takes {', '.join(own)}.")
