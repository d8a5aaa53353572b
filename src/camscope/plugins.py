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
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from camscope.errors import CamscopeError

_loaded: set[str] = set()
_lock = threading.RLock()


def load_plugins(group: str, register: Callable[[Any], None] | None = None) -> None:
    """Load what other packages add to a register; a group that is loaded already is left as it is.

    Args:
        group: of entry points, such as `camscope.methods`.
        register: takes what each entry point names. None where importing it is enough, since a decorator in it
            registers.

    Raises:
        CamscopeError: if it cannot be imported; the message names the package.
    """
    with _lock:
        if group in _loaded:
            return
        # first, so that a module that is being loaded can look into the register itself
        _loaded.add(group)
        try:
            for entry in entry_points(group=group):
                found = _imported(entry)
                if register is not None:
                    register(found)
        except BaseException:
            _loaded.discard(group)
            raise


def _imported(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        package = "a package" if entry.dist is None else f"the package {entry.dist.name!r}"
        raise CamscopeError(
            f"{entry.value!r}, which {package} adds to {entry.group} as {entry.name!r}, could not be loaded: "
            f"{type(error).__name__}: {error}. Mend that package, or uninstall it."
        ) from error
