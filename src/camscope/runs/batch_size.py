"""How many images run at a time, found by what one of them takes."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from camscope.runs.kept_memory import give_back

USUAL = 16
"""On a processor: of larger batches less stays in its caches, and each image takes longer."""

MOST = 256
"""On an accelerator; a shard is no larger by default."""

_SHARE = 0.5
"""Of the free memory: other programs take some too, and images of later batches may have more to be kept."""

_STATUS, _PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def fitting(run: Callable[[], Any], images: int, device: str) -> int:
    """Run a batch, and say how many images of it fit the memory: a power of two.

    Args:
        run: runs it.
        images: how many are in it.
        device: of the model.
    """
    if device.startswith("cuda"):
        return _on_cuda(run, images, device)
    before = _resident("VmRSS")
    with suppress(OSError):
        _PEAK.write_text("5")  # the highest use is counted anew from here
    run()
    free = _free()
    if before is None or free is None:
        return USUAL
    return _of(max(0, (_resident("VmHWM") or 0) - before) // images, free, USUAL)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory.

    Args:
        error: any.
    """
    words = r"out of memory|can't allocate|not enough memory|failed to allocate"
    return isinstance(error, MemoryError) or re.search(words, str(error), re.IGNORECASE) is not None


def free_what_is_held() -> None:
    """Give back what a failed batch had, before a smaller one is tried."""
    gc.collect()
    give_back()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _on_cuda(run: Callable[[], Any], images: int, device: str) -> int:
    torch: Any = sys.modules["torch"]  # which has made what runs there
    run()  # the first allocates what is kept
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    each = (torch.cuda.max_memory_allocated(device) - before) // images
    torch.cuda.empty_cache()
    return _of(each, torch.cuda.mem_get_info(device)[0], MOST)


def _of(each: int, free: int, most: int) -> int:
    """The largest power of two of which the images take no more than their share of what is free."""
    fits = min(most, int(_SHARE * free) // max(1, each))
    return 1 << max(0, fits.bit_length() - 1)


def _resident(what: str) -> int | None:
    """Bytes of memory that this process has in use, or had at most; None where the system does not say."""
    with suppress(OSError):
        found = re.search(rf"{what}:\s+(\d+) kB", _STATUS.read_text())
        if found:
            return int(found[1]) << 10
    return None


def _free() -> int | None:
    """Bytes of memory that are free; None where the system does not say."""
    with suppress(OSError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        if found:
            limit = Path("/sys/fs/cgroup/memory.max")
            used = Path("/sys/fs/cgroup/memory.current")
            with suppress(OSError, ValueError):
                return min(int(found[1]) << 10, int(limit.read_text()) - int(used.read_text()))
            return int(found[1]) << 10
    return None
