"""What a user gives at every step, told apart by what it does: in a loop a lambda is another object each time."""

from __future__ import annotations

import dis
import functools
from collections.abc import Hashable, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

from camscope.models.the_same import TheSame

_DEEPEST = 4
"""So deep functions are looked into that are made of others; below that they are told by which object they are."""


def told(given: Any, depth: int = 0) -> Hashable:
    """Equal for things that do the same: what is plain by its value, and all else by which object it is.

    A function is told by its code and by all that this code reads besides its arguments: defaults, variables around it,
    globals. Nothing is kept alive.

    Args:
        given: a name, a number, a module, a function, or a list, tuple or dictionary of these.
        depth: how deep it lies in what was given.
    """
    if given is None or isinstance(given, (str, bytes, bool, int, float, complex)):
        return type(given).__name__, given
    if depth >= _DEEPEST:
        return TheSame(given)
    if isinstance(given, (list, tuple)):
        return type(given).__name__, *(told(one, depth + 1) for one in given)
    if isinstance(given, Mapping):
        return "mapping", *((told(key, depth + 1), told(one, depth + 1)) for key, one in given.items())
    if isinstance(given, functools.partial):
        return "partial", *(told(part, depth + 1) for part in (given.func, given.args, given.keywords))
    if isinstance(given, MethodType):
        return "method", told(given.__func__, depth + 1), TheSame(given.__self__)
    if isinstance(given, FunctionType):
        return given.__code__, *(told(value, depth + 1) for value in _read_by(given))
    return TheSame(given)


def _read_by(function: FunctionType) -> list[Any]:
    """What a function reads besides its arguments."""
    found = [function.__defaults__, function.__kwdefaults__]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # the variable has no value yet
            found.append(None)
    return found + [function.__globals__.get(name) for name in _globals_in(function.__code__)]


@functools.lru_cache(maxsize=256)
def _globals_in(code: CodeType) -> tuple[str, ...]:
    """The names of the globals that code reads, and the functions inside of it."""
    own = [one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"]
    inside = [name for part in code.co_consts if isinstance(part, CodeType) for name in _globals_in(part)]
    return tuple(dict.fromkeys([*own, *inside]))
