"""Memory that is freed stays with the process while a run goes on, and is not asked for anew at each batch.

What a network puts out is tens of megabytes a layer. The C library gives blocks of that size back to the system when
they are freed, and the system must zero each page of the next one: of EfficientNet-Lite0 in batches of 16 that took
more than half of the forward in a fresh process. So does the decoding of photos.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""Of glibc's `mallopt`: from so many free bytes on, the end of the heap is given back; blocks of so many bytes are the
system's, not the heap's; so many such blocks there are at most."""

_MIB = 1 << 20
_LARGEST_BLOCK, _LARGEST_END, _MOST_BLOCKS = 32 * _MIB, 64 * _MIB, 1 << 16
"""Where glibc itself puts these as soon as a block of 32 MiB was freed, which is as far as it goes."""

_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_")
"""Who sets one of these in the environment has chosen, or the same among `GLIBC_TUNABLES`."""


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep what is freed until the end, when all of it is given back; nothing changes where glibc is not at work.

    Blocks above 64 MiB that another thread than the main one asks for are given back all the same.
    """
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        mallopt(_MMAP_MAX, _MOST_BLOCKS)
        mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_TRIM_THRESHOLD, _LARGEST_END)
        give_back()


def keep_some_memory(most: int) -> None:
    """Keep what is freed, in a process of our own.

    Args:
        most: bytes that are kept; a block of more than a quarter of it is the system's.
    """
    mallopt = _mallopt()
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, most // 4)
        mallopt(_TRIM_THRESHOLD, most)


def give_back() -> None:
    """Give what is free back to the system."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _mallopt() -> Callable[[int, int], int] | None:
    """Of the C library; None where it is another than glibc, or its user has chosen."""
    tuned = "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    if tuned or any(name in os.environ for name in _CHOSEN):
        return None
    with suppress(AttributeError, OSError, ValueError):
        if (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            found: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
            return found
    return None
