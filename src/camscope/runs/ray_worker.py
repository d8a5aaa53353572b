"""A worker of a cluster: an actor that makes the model, explains shards, and writes each where the plan lies."""

from __future__ import annotations

import dataclasses
import os
import platform
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from camscope.errors import CamscopeError, InputError
from camscope.runs.kept_memory import memory_kept
from camscope.runs.model_of_run import explainer_of, facts_of, unpacked
from camscope.runs.reader_processes import Readers
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore
from camscope.runs.shard_loop import ShardDone, ShardLoop, failed_in, readers_of
from camscope.runs.shard_work import Work


@dataclass(frozen=True)
class Order:
    """What a worker is told.

    Attributes:
        model: packed, see `camscope.runs.model_of_run`.
        anew: whether shards are made that are there.
        store: where the plan lies, and the shards are to lie.
        identity: of the plan.
        batch: how many images run at a time.
        readers: how many processes read images; None for one for each core.
        folder: that paths are relative to.
    """

    model: bytes
    anew: bool
    store: RunStore
    identity: str
    batch: int
    readers: int | None
    folder: str


@dataclass(frozen=True)
class Refused:
    """Why a worker cannot go on.

    Attributes:
        why: in words.
    """

    why: str


class ShardWorker:
    """Explains shards, and nothing of it is kept anywhere but in the store."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._loop: ShardLoop | None = None
        self._anew = False

    def begin(self, order: Order, device: str | None) -> Refused | None:
        """Make ready.

        Args:
            order: what is to be done.
            device: that the model is moved to; None leaves it where it is.
        """
        try:
            self._loop, self._anew = self._ready(order, device), order.anew
        except CamscopeError as error:
            return Refused(f"The worker on {platform.node()} cannot begin: {error}")
        return None

    def carry_out(self, shards: Sequence[int]) -> Iterator[ShardDone | Refused]:
        """Explain some shards; each is told of when it is written, and those that are there are not made again.

        Args:
            shards: their numbers.
        """
        assert self._loop is not None
        store, plan = self._loop.store, self._loop.work.plan
        todo = []
        for shard in shards:
            if not self._anew and store.has(shard, plan):
                yield ShardDone(shard, plan.length(shard), failed_in(store, shard))
            else:
                todo.append(shard)
        try:
            with memory_kept():
                for done in self._loop.carry_out(todo, lambda count: None):
                    yield done
                    if self._stop.is_set():
                        return
        except CamscopeError as error:
            yield Refused(f"On {platform.node()}: {error}")

    def stop(self) -> None:
        """End after the shard that is being explained."""
        self._stop.set()

    def _ready(self, order: Order, device: str | None) -> ShardLoop:
        try:
            os.chdir(order.folder)
        except OSError as error:
            raise InputError(
                f"there is no folder '{order.folder}' here. Begin the run in a folder that all nodes see."
            ) from error
        if not order.store.is_begun:
            raise InputError(
                f"there is no plan in '{order.store.path}' here. Take an output folder that all nodes see: one of a "
                "shared file system, or a bucket, s3://…"
            )
        plan = Plan.read(order.store.path)
        if plan.identity != order.identity:
            raise InputError(f"'{order.store.path}' is another run here. Take a folder that all nodes share.")
        model, options = unpacked(order.model)
        explainer = explainer_of(model, {**options, **({} if device is None else {"device": device})})
        changes = plan.asked.changes(dataclasses.replace(plan.asked, **facts_of(explainer)))
        if changes:
            raise InputError(
                f"what runs here is not what the run was begun with: {'; '.join(changes)}. Rows would not go together: "
                "install the same on all nodes."
            )
        work = Work(explainer, plan, order.batch)
        readers: Readers = readers_of(work, order.readers)
        return ShardLoop(work, order.store, readers)
