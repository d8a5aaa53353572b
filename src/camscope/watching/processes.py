"""Which of the processes that train together looks."""

from __future__ import annotations

import sys


def is_first_process() -> bool:
    """Whether this is the first of the processes that train together, or the only one."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return True
    return bool(distributed.get_rank() == 0)
