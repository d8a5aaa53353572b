"""Shards in this process: others read ahead while the model explains."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from camscope.runs.kept_memory import memory_kept
from camscope.runs.shard_engine import Job, Progress, Told
from camscope.runs.shard_loop import ShardLoop, readers_of
from camscope.surviving import stopped_by_signals


@dataclass(frozen=True)
class LocalEngine:
    """Carries out shards in this process."""

    def check(self, model: Any, model_options: Mapping[str, Any]) -> None:
        """Nothing is refused here."""

    def carry_out(self, job: Job, todo: Collection[int], told: Told) -> Progress:
        """See `camscope.runs.shard_engine.Engine`."""
        work, progress = job.work, job.at_the_begin(todo)
        begun = time.perf_counter()
        with memory_kept(), readers_of(work, job.readers) as readers, stopped_by_signals() as stop:

            def read_so_far(count: int) -> None:
                if count % work.batch == 0:
                    seconds = time.perf_counter() - begun
                    told(replace(progress, begun=count, seconds=seconds, stopped=bool(stop.signal)))

            told(progress)
            for done in ShardLoop(work, job.store, readers).carry_out(todo, read_so_far):
                progress = replace(
                    progress,
                    done=progress.done + done.count,
                    now=progress.now + done.count,
                    failed=progress.failed + done.failed,
                    seconds=time.perf_counter() - begun,
                    stopped=bool(stop.signal),
                )
                told(progress)
                if stop.signal:
                    break
        return progress
