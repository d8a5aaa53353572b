"""A run's process keeps what is freed while it runs, and gives it back then."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from torch import nn

import camscope
from camscope.runs import kept_memory

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


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072", "True"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072", "True"),
        ("MALLOC_ARENA_MAX", "2", "False"),
    ],
)
def test_who_has_set_the_library_is_left_alone(name, value, left):
    assert asked("print(faults(memory_kept()) > 2)", size=80, **{name: value}) == left


def test_a_run_keeps_memory_while_it_explains(folder, tmp_path, monkeypatch):
    """The first images, which the plan is made of, come before."""
    told = []
    monkeypatch.setattr(kept_memory, "_mallopt", lambda: lambda option, value: told.append(option))
    seen = []
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )
    network.register_forward_pre_hook(lambda *_: seen.append(len(told)))
    squashed = camscope.Preprocessing(input_size=(32, 32), resize=(32, 32), crop="squash")
    explainer = camscope.Explainer(network.eval(), preprocessing=squashed)
    camscope.runs.run(folder, model=explainer, out=tmp_path / "run", progress=False, workers=1)
    assert (seen[0], seen[-1], len(told)) == (0, 2, 5)
