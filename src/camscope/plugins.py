"""What other packages add: methods, targets, figures, libraries and adapters, found by their entry points.

A package says in its metadata what it adds, one line each, and nothing of it is imported before it is looked for:

    [project.entry-points."camscope.methods"]      # methods and compositions
    loudest = "mine.loudest"

    [project.entry-points."camscope.adapters"]
    mine = "mine.adapter:FRAMEWORK"

The groups are `camscope.methods`, `camscope.targets`, `camscope.figures`, `camscope.libraries`, `camscope.adapters`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from camscope.errors import CamscopeError
from camscope.fair_lock import FairLock, held

Kind = TypeVar("Kind")

_loaded: set[str] = set()
_locks: dict[str, FairLock] = {}


def same_definition(one: Any, other: Any) -> bool:
    """Whether two functions or classes are one definition that was run twice, as in a cell of a notebook."""
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def load_plugins(
    group: str, kind: type[Kind] | None = None, register: Callable[[Kind], None] | None = None
) -> None:
    """Load what other packages add to a register; a group that is loaded already is left as it is.

    Args:
        group: of entry points, such as `camscope.methods`.
        kind: what each entry point must name. None where importing a module is enough, since a decorator in it
            registers.
        register: takes what each entry point names.

    Raises:
        CamscopeError: if it cannot be imported or is no such kind; the message names the package.
    """
    if group in _loaded:
        return
    lock = _locks.setdefault(group, FairLock())
    if lock.is_held_here:  # a module that is being loaded looks into the register itself
        return
    with held(lock):
        if group not in _loaded:
            _load(group, kind, register)
            _loaded.add(group)


def _load(group: str, kind: type[Kind] | None, register: Callable[[Kind], None] | None) -> None:
    for entry in entry_points(group=group):
        found = _imported(entry)
        if kind is not None and not isinstance(found, kind):
            got = type(found).__name__
            raise _unusable(entry, f"expected a {kind.__name__}, got a {got}")
        if kind is not None and register is not None:
            register(found)


def _imported(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise _unusable(entry, f"{type(error).__name__}: {error}") from error


def _unusable(entry: EntryPoint, why: str) -> CamscopeError:
    package = "a package" if entry.dist is None else f"the package {entry.dist.name!r}"
    return CamscopeError(
        f"{entry.value!r}, which {package} adds to {entry.group} as {entry.name!r}, could not be loaded: "
        f"{why.rstrip('.')}. Mend that package, or uninstall it."
    )
