"""Time as a multiple of something measured right beside it, and peak tensor memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Work = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Time:
    """Median seconds, and the median of the ratios to the baseline that ran immediately before."""

    seconds: float
    ratio: float


def paired(
    baseline: Work,
    works: Mapping[str, Work],
    repeats: int,
    device: torch.device,
    clock: Clock = time.perf_counter,
) -> dict[str, Time]:
    """Time every work against the baseline, in turns.

    One round runs all works, the baseline directly before each. A ratio is taken within such a pair, so a machine
    that is slow for a while slows both; the median over the rounds drops what hit only one of the two.
    The first round warms up (caches, lazy initialisation, a library's own first look at the model) and is not counted.
    """
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for round_ in range(repeats + 1):
        for name, work in works.items():
            pair = seconds(baseline, device, clock), seconds(work, device, clock)
            if round_:
                pairs[name].append(pair)
    return {
        name: Time(median(b for _, b in found), median(b / a for a, b in found))
        for name, found in pairs.items()
    }


def seconds(work: Work, device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Time of one run, the device's queue empty before and after: on the wall, or on another clock."""
    _wait(device)
    start = clock()
    work()
    _wait(device)
    return clock() - start


def peak_memory(work: Work, device: torch.device) -> int:
    """Bytes allocated at the highest point of one run, beyond what was allocated before it.

    On CUDA: `torch.cuda.max_memory_allocated`. On the CPU: the running sum of every allocation and release of
    PyTorch's own allocator, as its profiler records them. That is exact to the byte and the same in every run, which
    resident memory is not (it keeps what was once touched). It does not see NumPy's arrays, so what a library computes
    in NumPy counts as nothing.
    """
    if device.type == "cuda":
        _wait(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        kept = work()
        _wait(device)
        del kept
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        kept = work()
    del kept
    assert profile.profiler is not None
    events = profile.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    allocated = peak = 0
    for _, change in changes:
        allocated += change
        peak = max(peak, allocated)
    return peak


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
