"""Shards on this machine: processes read ahead while the model explains, and each shard is written as it is done."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from camscope.errors import InputError
from camscope.runs.input_list import Share
from camscope.runs.reader_processes import Readers
from camscope.runs.reading_one import Unread, bytes_of
from camscope.runs.row_columns import FAILED
from camscope.runs.run_store import RunStore
from camscope.runs.shard_work import Pair, Work
from camscope.runs.sources.one_input import Input
from camscope.surviving import stopped_by_signals

_FEW = 8
"""Of so many inputs read ahead as photos, each may have a hundred megabytes."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        total: how many images its shards here have.
        done: how many are done, those of before included: in shards that are written.
        now: how many of these were done by this process.
        begun: how many images of the next shard are read.
        failed: how many of these could not be explained.
        seconds: that this process took for them.
        stopped: whether Ctrl-C, or the system, has asked for the end.
    """

    total: int
    done: int
    now: int = 0
    begun: int = 0
    failed: int = 0
    seconds: float = 0.0
    stopped: bool = False

    @property
    def rate(self) -> float:
        """Images per second."""
        return (self.now + self.begun) / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the end; None if that cannot be told yet."""
        return (self.total - self.done - self.begun) / self.rate if self.rate > 0 else None


Told: TypeAlias = Callable[[Progress], None]
"""Is told how far a run is: at the begin, after each batch, and after each shard, when nothing more is begun."""


def carry_out(
    work: Work, store: RunStore, todo: Sequence[int], *, workers: int | None, told: Told
) -> Progress:
    """Explain the shards that are to be done.

    Args:
        work: explains them.
        store: keeps them.
        todo: their numbers, in order.
        workers: how many processes read; None for one for each core.
        told: is told how far the run is.

    Returns:
        How far it got.

    Raises:
        CamscopeError: if the run cannot go on. What was finished stays.
    """
    plan = work.plan
    inputs = store.inputs(plan.asked.shard_size, Share.read(plan.asked.share))
    own = inputs.share.shards(plan.shards)
    total = sum(_length(work, shard) for shard in own)
    before = total - sum(_length(work, shard) for shard in todo)
    prepared = work.explainer.preprocessing
    ahead = _FEW if prepared is None else 2 * work.batch + _FEW
    begun = time.perf_counter()
    progress = Progress(total, before)
    with Readers(workers, prepared, ahead) as readers, stopped_by_signals() as stop:
        read = readers.read(itertools.chain.from_iterable(map(inputs.of_shard, todo)))
        witness: Input | None = None
        told(progress)

        def read_so_far(count: int) -> None:
            if count % work.batch == 0:
                seconds = time.perf_counter() - begun
                told(replace(progress, begun=count, seconds=seconds, stopped=bool(stop.signal)))

        for shard in todo:
            if stop.signal:
                break
            watched = _Watched(itertools.islice(read, _length(work, shard)), read_so_far)
            table = work.shard(shard, watched)
            witness = watched.readable or witness
            _refuse_vanished(watched, witness)
            store.write_shard(shard, table, plan)
            progress = Progress(
                total,
                done=progress.done + watched.count,
                now=progress.now + watched.count,
                failed=progress.failed + _failures(table),
                seconds=time.perf_counter() - begun,
                stopped=bool(stop.signal),
            )
            told(progress)
    return progress


class _Watched:
    """The inputs of a shard as they were read, and what became of them."""

    def __init__(self, pairs: Iterable[Pair], told: Callable[[int], None]) -> None:
        self._pairs, self._told = pairs, told
        self.count = self.missing = 0
        self.readable: Input | None = None
        self.reason = ""

    def __iter__(self) -> Iterator[Pair]:
        for one, read in self._pairs:
            self.count += 1
            if not isinstance(read, Unread):
                self.readable = one
            elif read.missing:
                self.missing += 1
                self.reason = self.reason or read.reason
            yield one, read
            self._told(self.count)


def _refuse_vanished(shard: _Watched, witness: Input | None) -> None:
    """Stop where images are not there, nor is any more what was there before: a drive has vanished.

    Args:
        shard: what became of its inputs.
        witness: the last input that could be read; None if there is none.

    Raises:
        InputError: saying so; the shard is not written then, so that its images are not lost to it.
    """
    if not shard.missing:
        return
    if witness is not None:
        try:
            bytes_of(witness)
        except (InputError, OSError):
            pass
        else:
            return  # the data are there; these images are not
    raise InputError(
        f"{shard.missing} of the {shard.count} images of a shard are not there any more, nor is any other, so nothing "
        f"was written of it. The first: {shard.reason} Is the drive, or the network, still there? What was finished "
        "stays: run the same again."
    )


def _failures(table: Any) -> int:
    return int(sum(status == FAILED for status in table["status"].to_pylist()))


def _length(work: Work, shard: int) -> int:
    """How many inputs a shard has."""
    size = work.plan.asked.shard_size
    return min(size, work.plan.count - shard * size)
