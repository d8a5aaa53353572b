"""Shows what the modules of a copied model put out, where they are objects whose class can be exchanged."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from camscope.models.jax.taps import Tap

_watched: ContextVar[tuple[Mapping[int, str], Tap] | None] = ContextVar("watched", default=None)
"""The names of the modules of the copy that is running, by identity, and who is shown what they put out."""


def is_called(kind: type) -> bool:
    """Whether a class says how its instances are called."""
    return any("__call__" in vars(base) for base in kind.__mro__)


@contextlib.contextmanager
def tapped(modules: Mapping[str, Any], tap: Tap) -> Iterator[None]:
    """Show the tap what each of these modules puts out, as long as the context is open.

    A module's class becomes a subclass of it with another `__call__`, so they must be a copy's, which nobody else has.
    What a transformation inside the model makes of them (`nnx.remat` copies a module) is not shown.

    Args:
        modules: by name.
        tap: see `camscope.models.jax.taps.Tap`.
    """
    for module in modules.values():
        kind: Any = type(module)
        object.__setattr__(module, "__class__", _tapped_class(kind))
    before = _watched.set(({id(module): name for name, module in modules.items()}, tap))
    try:
        yield
    finally:
        _watched.reset(before)


@functools.lru_cache(maxsize=1024)
def _tapped_class(kind: Any) -> Any:
    """A subclass that shows what an instance puts out. It is kept, since libraries keep a list of all classes."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = kind.__call__(self, *args, **kwargs)
        watched = _watched.get()
        if watched is None or id(self) not in watched[0]:
            return output
        names, tap = watched
        return tap(names[id(self)], self, output)

    call = functools.wraps(kind.__call__)(call)
    return type(kind)(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})
