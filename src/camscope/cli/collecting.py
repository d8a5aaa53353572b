"""When the command looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Load what stays to the end, a framework and a model: nothing is looked through for garbage, now or later.

    A framework is a million objects, and Python looks through all of them time and again as they become more: that is
    a quarter of a start. `gc.unfreeze` undoes it.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if on:
            gc.enable()
