"""Shards one after another in one process: read ahead, explained, and written as each is done."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool

from camscope.errors import InputError
from camscope.runs.input_list import Share
from camscope.runs.reader_processes import Readers
from camscope.runs.reading_one import Reading, Unread, bytes_of
from camscope.runs.row_columns import FAILED
from camscope.runs.run_store import RunStore
from camscope.runs.shard_work import Pair, Work
from camscope.runs.sources.one_input import Input
from camscope.runs.store_paths import parquet_read, read_each

_FEW = 8
"""Of so many inputs read ahead as photos, each may have a hundred megabytes."""


@dataclass(frozen=True)
class ShardDone:
    """A shard that is written.

    Attributes:
        number: of the shard.
        count: how many inputs it has.
        failed: how many of them could not be explained.
    """

    number: int
    count: int
    failed: int


@dataclass
class ShardLoop:
    """Explains shards one after another.

    Attributes:
        work: explains them.
        store: keeps them.
        readers: read their inputs.
        witness: the last input that could be read; None as long as there is none.
    """

    work: Work
    store: RunStore
    readers: Readers
    witness: Input | None = None

    def carry_out(self, todo: Iterable[int], told: Callable[[int], None]) -> Iterator[ShardDone]:
        """Explain shards; each that is given is written.

        Args:
            todo: their numbers, as a stream, which is read a little ahead of what is explained.
            told: is told of each input of the shard that is explained how many of it are read.

        Raises:
            CamscopeError: if the run cannot go on. What was finished stays.
        """
        plan = self.work.plan
        inputs = self.store.inputs(plan.asked.shard_size, Share.read(plan.asked.share))
        now, ahead = itertools.tee(todo)
        read = self.readers.read(itertools.chain.from_iterable(map(inputs.of_shard, ahead)))
        for shard in now:
            watched = _Watched(itertools.islice(read, plan.length(shard)), told)
            table = self.work.shard(shard, watched)
            self.witness = watched.readable or self.witness
            _refuse_vanished(watched, self.witness)
            self.store.write_shard(shard, table, plan, self._made)
            yield ShardDone(shard, watched.count, failures_in(table))

    @cached_property
    def _made(self) -> dict[str, Any]:
        """What may differ between shards, and is no part of the plan."""
        device = str(self.work.explainer.about.get("device", ""))
        return {"batch": self.work.batch, "device": device}


def readers_of(work: Work, count: int | None) -> Readers:
    """The processes that read what a model is given.

    Args:
        work: of the model.
        count: of processes; None for one for each core.
    """
    prepared = work.explainer.preprocessing
    ahead = _FEW if prepared is None else 2 * work.batch + _FEW
    return Readers(count, Reading(prepared, work.plan.reading), ahead)


def failures_in(table: Any) -> int:
    """How many images of a shard could not be explained.

    Args:
        table: its rows.
    """
    return int(sum(status == FAILED for status in table["status"].to_pylist()))


def failed_in(store: RunStore, shard: int) -> int:
    """Likewise, of a shard that is there.

    Args:
        store: that it is in.
        shard: its number.
    """
    return failures_in(parquet_read(store.shard(shard), lambda table: table.read(["status"])))


def having_failures(store: RunStore, whole: Bool[np.ndarray, " shard"]) -> Bool[np.ndarray, " shard"]:
    """Which shards have images that could not be explained.

    Args:
        store: that they are in.
        whole: which are there.
    """
    found = np.zeros_like(whole)
    numbers = np.flatnonzero(whole)
    for number, failed in zip(
        numbers, read_each(lambda n: failed_in(store, int(n)), numbers, store.path), strict=True
    ):
        found[number] = failed > 0
    return found


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
