"""An adapter for every framework that can run a model and say what its layers put out, in NumPy.

A framework writes a `Runtime` (`runs.py`): run a model, run the part after a layer, differentiate if it can. All that
follows from these runs is here, once: which layers have a grid, which is chosen, the linear head, the evidence.
"""

from camscope.models.runtime.adapter import RuntimeAdapter
from camscope.models.runtime.runs import (
    INPUT,
    Part,
    PullBack,
    ReadsHead,
    Run,
    RunAfter,
    RunsBetween,
    Runtime,
    ShowsAttention,
    TakesPixels,
)

__all__ = [
    "INPUT",
    "Part",
    "PullBack",
    "ReadsHead",
    "Run",
    "RunAfter",
    "RunsBetween",
    "Runtime",
    "RuntimeAdapter",
    "ShowsAttention",
    "TakesPixels",
]
