"""How many processors this process may use, which can be fewer than the machine has."""

from __future__ import annotations

import os


def own_cores() -> int:
    """The number of cores, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
