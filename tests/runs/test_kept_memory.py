"""A run's process keeps what is freed while it runs, and gives it back then."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COUNTED = """
import ctypes, resource
from contextlib import nullcontext
from camscope.runs.kept_memory import keep_some_memory, memory_kept

own = ctypes.CDLL(None)
own.malloc.restype = ctypes.c_void_p
own.malloc.argtypes, own.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
own.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
size, page = SIZE << 20, resource.getpagesize()

def use():
    block = own.malloc(size)
    own.memset(block, 1, size)
    own.free(block)

def faults(context):
    with context:
        use()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        use(), use(), use()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * page / size

def held():
    return int(open("/proc/self/statm").read().split()[1]) * page

WHAT
"""


def asked(what: str, size: int, **env: str) -> str:
    """What a process of its own says."""
    code = COUNTED.replace("SIZE", str(size)).replace("WHAT", what)
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**own, **env}
    )
    return done.stdout.strip()


pytestmark = pytest.mark.skipif(
    not (hasattr(os, "confstr") and "CS_GNU_LIBC_VERSION" in os.confstr_names), reason="of glibc"
)


def test_blocks_of_a_batch_are_asked_for_once_and_given_back_at_the_end():
    """Three blocks touch every page anew; kept, none of them."""
    said = asked(
        "print(*(faults(one()) > 2 for one in (nullcontext, memory_kept, nullcontext)))\n"
        "before = held()\n"
        "with memory_kept():\n    use(); kept = held() - before\n"
        "print(kept > 0.9 * size, held() - before < 0.1 * size)",
        size=80,
    )
    assert said.splitlines() == ["True False True", "True True"]


def test_a_reader_keeps_the_blocks_of_a_photo_and_no_larger_ones():
    said = "keep_some_memory(256 << 20)\nprint(faults(nullcontext()) > 2)"
    assert (asked(said, size=48), asked(said, size=80)) == ("False", "True")


def test_who_has_set_the_library_is_left_alone():
    assert asked("print(faults(memory_kept()) > 2)", size=80, MALLOC_ARENA_MAX="2") == "True"
