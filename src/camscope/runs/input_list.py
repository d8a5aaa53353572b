"""The list of a run's inputs: a file, written as a stream, of which the inputs of one shard are read by themselves."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from camscope.errors import InputError, first_line, keyword
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.sources.one_input import Input
from camscope.runs.store_paths import StorePath, make_folder, parquet_read, remove_tree, written_whole

_GROUPS = 1000
"""So many shards are in one file: what a reader holds of a file grows with them."""


@dataclass(frozen=True)
class Share:
    """Which shards of a run are done here: number `first`, and every `count`-th after it.

    Attributes:
        number: of the share, from 1.
        count: how many shares there are.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def read(cls, text: str | None) -> Share:
        """Read `2/8`; None is the whole.

        Raises:
            InputError: if it is no share.
        """
        number, slash, count = (text or "1/1").partition("/")
        if not (slash and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
            raise InputError(f"A share of a run is a number of a count, from 1/8 to 8/8 say; got {text!r}.")
        return cls(int(number), int(count))

    def shards(self, total: int) -> range:
        """The numbers of its shards.

        Args:
            total: how many shards the run has.
        """
        return range(self.number - 1, total, self.count)

    def has(self, shard: int) -> bool:
        """Whether a shard is in it."""
        return shard % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class Written:
    """What is known of a list.

    Attributes:
        count: how many inputs the run has, those of other shares included.
        sha256: a digest of them.
        head: the first of them.
    """

    count: int
    sha256: str
    head: tuple[Input, ...]


@dataclass(frozen=True)
class InputList:
    """The list of a share's inputs.

    Attributes:
        folder: where it lies.
        size: how many inputs a shard has.
        share: of the run.
    """

    folder: StorePath
    size: int
    share: Share

    def write(self, inputs: Iterable[Input], head: int) -> Written:
        """Write the list as it comes.

        Args:
            inputs: all of the run.
            head: how many of the first are given back.

        Raises:
            InputError: if it cannot be written, or a name is no UTF-8.
        """
        digest, count = hashlib.sha256(), 0
        first: list[Input] = []
        try:
            remove_tree(self.folder)
            make_folder(self.folder)
            with _Groups(self.folder) as groups:
                for shard, some in enumerate(_batched(inputs, self.size)):
                    for one in some:
                        digest.update(_line(one))
                    count += len(some)
                    first += some[: max(0, head - len(first))]
                    if self.share.has(shard):
                        groups.add(some)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written: {error.strerror or error}.") from error
        return Written(count, digest.hexdigest(), tuple(first))

    def of_shard(self, shard: int) -> list[Input]:
        """The inputs of one shard.

        Args:
            shard: its number in the run.

        Raises:
            InputError: if the list is damaged.
        """
        place = shard // self.share.count
        file = _file(self.folder, place // _GROUPS)
        pa, _ = pyarrow_modules()
        try:
            rows = parquet_read(file, lambda table: table.read_row_group(place % _GROUPS).to_pylist())
        except FileNotFoundError as error:
            raise InputError(
                f"'{file}' is not there any more, so the run cannot go on. Is the drive of the run still there? What "
                "was finished before stays on it: when it is back, run the same again."
            ) from error
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"'{file}' is damaged, so the run cannot go on ({first_line(error)}). Begin it anew: "
                f"{keyword('restart', True)}."
            ) from error
        return [Input(**row) for row in rows]

    def check(self, inputs: Iterable[Input], count: int) -> None:
        """Hold what the data are now against the list.

        Args:
            inputs: all of the run, as they are now.
            count: how many there were.

        Raises:
            InputError: if they are others; the message says which is the first.
        """
        known: Iterator[Input] = iter(())
        number = 0
        for number, one in enumerate(inputs, start=1):
            shard, place = divmod(number - 1, self.size)
            if number > count or not self.share.has(shard):
                continue
            if place == 0:
                known = iter(self.of_shard(shard))
            then = next(known, None)
            if then != one:
                raise InputError(
                    f"The data have changed since the run began: input {number} was {_told(then)}, and is "
                    f"{_told(one)}.{_what_then()}"
                )
        if number != count:
            raise InputError(
                f"The data have changed since the run began: {count} inputs were there, now {number}.{_what_then()}"
            )


class _Groups:
    """Files of row groups, one for each shard."""

    def __init__(self, folder: StorePath) -> None:
        self.folder = folder
        self._count = 0
        self._open = ExitStack()
        self._writer: Any = None

    def __enter__(self) -> _Groups:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def add(self, inputs: list[Input]) -> None:
        pa, pq = pyarrow_modules()
        schema = pa.schema(
            [
                *((name, pa.string()) for name in ("source", "label", "kind")),
                *((name, pa.int64()) for name in ("first", "second")),
            ]
        )
        try:
            table = pa.Table.from_pylist([one._asdict() for one in inputs], schema=schema)
        except UnicodeEncodeError as error:
            bad = next(one.source for one in inputs if not _is_utf8(one.source))
            raise InputError(
                f"The name {bad!r} is no text in UTF-8, so nothing can refer to it. Rename it."
            ) from error
        if self._count % _GROUPS == 0:
            self._open.close()
            aside = self._open.enter_context(written_whole(_file(self.folder, self._count // _GROUPS)))
            self._writer = self._open.enter_context(pq.ParquetWriter(aside, schema, compression="zstd"))
        assert self._writer is not None
        self._writer.write_table(table, row_group_size=max(1, len(inputs)))
        self._count += 1


def _file(folder: StorePath, number: int) -> StorePath:
    return folder / f"inputs-{number:06d}.parquet"


def _batched(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    every = iter(inputs)
    while some := list(itertools.islice(every, size)):
        yield some


def _line(one: Input) -> bytes:
    return json.dumps(one).encode() + b"\n"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _what_then() -> str:
    new, anew = keyword("into", like="FOLDER"), keyword("restart", True)
    return f" {new} makes a run of them in another folder; {anew} takes away what is there."


def _told(one: Input | None) -> str:
    if one is None:
        return "not there"
    label = f" labelled {one.label!r}" if one.label is not None else ""
    place = f" at byte {one.first}" if one.kind == "bytes" else ""
    return f"'{one.source}'{label}{place}"
