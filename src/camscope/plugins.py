"""What other packages add: methods, targets, figures, libraries and adapters, found by their entry points.

A package says in its metadata what it adds, one line each, and nothing of it is imported before it is looked for:

    [project.entry-points."camscope.methods"]      # methods and compositions
    loudest = "mine.loudest"

    [project.entry-points."camscope.adapters"]
    mine = "mine.adapter:FRAMEWORK"

The groups are `camscope.methods`, `camscope.targets`, `camscope.figures`, `camscope.libraries`, `camscope.adapters`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from camscope.errors import CamscopeError
from camscope.undoing import surely

Kind = TypeVar("Kind")

_loaded: set[str] = set()
_loading: dict[str, int] = {}
"""The thread that loads a group just now."""

_locks: dict[str, threading.RLock] = {}


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
    # a module that is being loaded may look into the register itself
    if group in _loaded or _loading.get(group) == threading.get_ident():
        return
    lock = _locks.setdefault(group, threading.RLock())
    with surely(lambda: _let_go(group, lock)):
        lock.acquire()
        if group not in _loaded:
            _loading[group] = threading.get_ident()
            _load(group, kind, register)
            _loaded.add(group)


def _let_go(group: str, lock: threading.RLock) -> None:
    """Hold a group's lock no more; nothing if this thread does not hold it."""
    if _loading.get(group) == threading.get_ident():
        del _loading[group]
    with suppress(RuntimeError):
        lock.release()


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
