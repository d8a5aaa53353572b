"""An interrupt, at any line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import camscope

HERE = str(Path(camscope.__file__).parent)


@contextmanager
def interrupted(at: int | None, *around: str) -> Iterator[list[int]]:
    """KeyboardInterrupt at the n-th line that runs in camscope. Yields the count of lines.

    Args:
        at: the number of the line; None counts only.
        around: further files and folders in which lines count.
    """
    lines = [0]

    def local(_frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            lines[0] += 1
            if lines[0] == at:
                raise KeyboardInterrupt
        return local

    def trace(frame: FrameType, _event: str, _arg: Any) -> Any:
        return local if frame.f_code.co_filename.startswith((HERE, *around)) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)
