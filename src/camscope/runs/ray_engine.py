"""Shards on the workers of a Ray cluster, each written by the worker that made it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from camscope.errors import InputError
from camscope.runs.model_of_run import packed
from camscope.runs.needed_packages import ray_module
from camscope.runs.ray_cluster import Places, connected, places, refuse_silent
from camscope.runs.ray_worker import Order, Refused, ShardWorker
from camscope.runs.shard_engine import Job, Progress, Told
from camscope.runs.shard_loop import ShardDone, failed_in
from camscope.surviving import Stop, stopped_by_signals

_AT_A_TIME = 8
"""So many shards a worker is given at most: their inputs are read ahead, and fewer are given where few are left."""

_DEATHS = 3
"""A shard is given up that so many workers were lost with, one after another."""

_IDLE = 300.0
"""Seconds without any worker after which a run ends."""

_LOOKED = 0.5
"""Seconds between two looks at whether the end was asked for."""


@dataclass(frozen=True)
class RayEngine:
    """Carries out shards on a Ray cluster.

    A worker that is lost costs the shards that it had not finished, and another takes its place. Workers end with this
    process.

    Attributes:
        address: of the cluster; None for the one that this machine is in, or else a new one on it.
        actors: how many workers there are; None for one for each GPU, or for each four cores where there is none.
        idle: seconds without any worker after which the run ends.
    """

    address: str | None = None
    actors: int | None = None
    idle: float = _IDLE

    def check(self, model: Any, model_options: Mapping[str, Any]) -> None:
        """See `camscope.runs.shard_engine.Engine`."""
        ray_module()
        refuse_silent(self.address)
        packed(model, model_options)

    def carry_out(self, job: Job, todo: Collection[int], told: Told) -> Progress:
        """See `camscope.runs.shard_engine.Engine`."""
        if not len(todo):
            progress = job.at_the_begin(todo)
            told(progress)
            return progress
        sent = packed(job.model, job.model_options)
        with connected(self.address) as ray, stopped_by_signals() as stop:
            on_gpus = str(job.model_options.get("device") or "cuda").startswith("cuda")
            wanted = places(ray.nodes(), self.actors, on_gpus=on_gpus)
            crew = _Crew(ray, job, wanted, sent, iter(todo), len(todo), self.idle)
            try:
                return crew.carry_out(job.at_the_begin(todo), told, stop)
            finally:
                crew.end()


@dataclass(eq=False)
class _Worker:
    """A worker as it is seen from here.

    Attributes:
        actor: of Ray's.
        waits: for what it does now: a reference, or the stream of the shards that it finishes.
        shards: that it was given and has not finished, in order.
        ready: whether its model is made.
    """

    actor: Any
    waits: Any
    shards: list[int] = field(default_factory=list)
    ready: bool = False


class _Crew:
    """The workers of a run: they are given shards, and those that are lost are replaced."""

    def __init__(
        self, ray: Any, job: Job, wanted: Places, sent: bytes, todo: Iterator[int], count: int, idle: float
    ) -> None:
        self._ray, self._job, self._wanted, self._idle = ray, job, wanted, idle
        self._todo, self._left = todo, count
        self._again: list[int] = []
        self._deaths: dict[int, int] = {}
        self._given_up: list[int] = []
        self._in_a_row = 0
        self._workers: list[_Worker] = []
        readers = job.readers or max(1, int(wanted.cores))
        order = Order(
            sent, job.anew, job.store.absolute(), job.plan.identity, job.batch, readers, os.getcwd()  # noqa: PTH109
        )  # fmt: skip
        self._order = ray.put(order)

    def carry_out(self, progress: Progress, told: Told, stop: Stop) -> Progress:
        """Have all shards done."""
        begun = seen = time.monotonic()
        for _ in range(min(self._wanted.count, self._left)):
            self._hire()
        told(progress)
        stopping = False
        while self._is_work():
            ready, _ = self._ray.wait([one.waits for one in self._workers], num_returns=1, timeout=_LOOKED)
            if stop.signal and not stopping:
                stopping = True
                progress = replace(progress, stopped=True)
                self._stop()
                told(progress)
            at_work = sum(one.ready for one in self._workers)
            seen = time.monotonic() if at_work else seen
            if not ready and time.monotonic() - seen > self._idle:
                raise InputError(self._no_place())
            for worker in [one for one in self._workers if one.waits in ready]:
                done, lost = self._look_at(worker, stopping)
                for one in done:
                    self._in_a_row = 0
                    progress = replace(
                        progress,
                        done=progress.done + one.count,
                        now=progress.now + one.count,
                        failed=progress.failed + one.failed,
                    )
                if lost:
                    progress = replace(progress, lost=(*progress.lost, lost))
                if done or lost:
                    at_work = sum(one.ready for one in self._workers)
                    progress = replace(progress, workers=at_work, seconds=time.monotonic() - begun)
                    told(progress)
        if self._given_up and not stopping:
            raise InputError(self._why_given_up(progress))
        return progress

    def end(self) -> None:
        """Let all workers go."""
        for worker in self._workers:
            with suppress(Exception):  # the cluster is gone, perhaps
                self._ray.kill(worker.actor)

    def _is_work(self) -> bool:
        """Whether shards are being done, or wait for a worker that is not ready."""
        return any(worker.shards for worker in self._workers) or (self._left > 0 and bool(self._workers))

    def _hire(self) -> None:
        resources = {"num_cpus": self._wanted.cores, "num_gpus": self._wanted.gpus}
        actor = (
            self._ray.remote(ShardWorker)
            .options(**resources, max_restarts=0, max_concurrency=2, scheduling_strategy="SPREAD")
            .remote()
        )
        device = "cuda" if self._wanted.gpus else self._job.model_options.get("device")
        self._workers.append(_Worker(actor, actor.begin.remote(self._order, device)))

    def _stop(self) -> None:
        """Have each worker finish the shard that it is at; those that are not ready have none."""
        for worker in list(self._workers):
            if worker.ready:
                worker.actor.stop.remote()
            else:
                self._let_go(worker)

    def _let_go(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        with suppress(Exception):
            self._ray.kill(worker.actor)

    def _look_at(self, worker: _Worker, stopping: bool) -> tuple[list[ShardDone], str]:
        """What a worker has done since; and, if it was lost, why."""
        errors = self._ray.exceptions
        try:
            if not worker.ready:
                found = self._ray.get(worker.waits)
                worker.ready = True
            else:
                found = self._ray.get(next(worker.waits))
        except StopIteration:
            found = None
        except errors.RayTaskError:
            raise  # a fault of this program's
        except errors.RayError as error:
            return self._lose(worker, error, stopping)
        if isinstance(found, Refused):
            raise InputError(found.why)
        if isinstance(found, ShardDone):
            worker.shards.remove(found.number)
            return [found], ""
        self._give(worker, stopping)
        return [], ""

    def _give(self, worker: _Worker, stopping: bool) -> None:
        """Give a worker its next shards; if there are none, let it go."""
        share = max(1, min(_AT_A_TIME, self._left // (2 * max(1, len(self._workers)))))
        again, self._again = (
            self._again[:1],
            self._again[1:],
        )  # by itself: it may be what a worker was lost with
        worker.shards = [] if stopping else again or list(itertools.islice(self._todo, share))
        if not worker.shards:
            self._let_go(worker)
            return
        self._left -= len(worker.shards)
        worker.waits = worker.actor.carry_out.options(num_returns="streaming").remote(worker.shards)

    def _lose(self, worker: _Worker, error: Exception, stopping: bool) -> tuple[list[ShardDone], str]:
        """A worker was lost: what it has written counts, the rest is to be done by others."""
        self._let_go(worker)
        self._in_a_row += 1
        store, plan = self._job.store, self._job.plan
        there = [shard for shard in worker.shards if not self._job.anew and store.has(shard, plan)]
        rest = [shard for shard in worker.shards if shard not in there]
        if rest:
            self._deaths[rest[0]] = self._deaths.get(rest[0], 0) + 1
            if self._deaths[rest[0]] >= _DEATHS:
                self._given_up.append(rest.pop(0))
        self._again += rest
        self._left += len(rest)
        why = _why_lost(error)
        if self._in_a_row > _DEATHS * max(2, self._wanted.count) and not there:
            raise InputError(
                f"{self._in_a_row} workers were lost one after another, and none has finished a shard: {why}. What was "
                "finished stays: mend it, and run the same again."
            )
        if not stopping and self._left > 0:
            self._hire()
        return [ShardDone(one, plan.length(one), failed_in(store, one)) for one in there], why

    def _no_place(self) -> str:
        total = self._ray.cluster_resources()
        has = ", ".join(f"{total.get(name, 0):g} {name}s" for name in ("CPU", "GPU"))
        return (
            f"No worker has had a place for {self._idle:.0f} seconds: each needs {self._wanted.cores:g} CPUs and "
            f"{self._wanted.gpus:g} GPUs, and the cluster has {has}, which other jobs may hold (ray status). What was "
            "finished stays: run the same again."
        )

    def _why_given_up(self, progress: Progress) -> str:
        numbers = ", ".join(map(str, self._given_up))
        return (
            f"{len(self._given_up)} shard(s) were given up (number {numbers}): {_DEATHS} workers were lost with each, "
            f"the last so: {progress.lost[-1]}. All others are done and stay. Where memory ran out a smaller batch "
            "helps: run the same again with it."
        )


def _why_lost(error: Exception) -> str:
    """Why a worker was lost, in a line, from what Ray says in many."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    if "memory" in text.lower() or name == "OutOfMemoryError":
        return "the memory guard of Ray has ended a worker (its node ran out of memory)"
    node = "node" in text.lower() and ("terminated" in text or "died" in text) and "node failure" in text
    return "a node was lost" if node or name == "NodeDiedError" else f"a worker was lost ({text[:160]})"
