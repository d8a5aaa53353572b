"""Runs: explanations of as many images as there are. They survive a kill, and are asked by SQL.

    import camscope
    camscope.runs.run("photos/", model="timm:resnet50", out="run")
    camscope.runs.open("run").where("label != top1").sort("ring_share", descending=True).to_pandas()

Importing this room imports next to nothing, so that its processes that read images start fast: every name is loaded
when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camscope.runs.comparing_runs import Comparison as Comparison
    from camscope.runs.joining_shares import merge as merge
    from camscope.runs.mean_maps import MeanMap as MeanMap
    from camscope.runs.run_rows import RunRows as RunRows
    from camscope.runs.run_rows import open_run as open
    from camscope.runs.running import Done as Done
    from camscope.runs.running import run as run

_HOMES = {
    "Comparison": ("comparing_runs", "Comparison"),
    "Done": ("running", "Done"),
    "MeanMap": ("mean_maps", "MeanMap"),
    "RunRows": ("run_rows", "RunRows"),
    "merge": ("joining_shares", "merge"),
    "open": ("run_rows", "open_run"),
    "run": ("running", "run"),
}

__all__ = ["Comparison", "Done", "MeanMap", "RunRows", "merge", "open", "run"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(
            f"module 'camscope.runs' has no attribute {name!r}; it has {', '.join(__all__)}."
        )
    module, own = _HOMES[name]
    return getattr(importlib.import_module(f"camscope.runs.{module}"), own)


def __dir__() -> list[str]:
    return __all__
