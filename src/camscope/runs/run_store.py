"""The folder of a run: its plan, its list of inputs and its shards, each whole or not there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from camscope.errors import InputError, keyword
from camscope.runs.input_list import InputList, Share
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.row_columns import HEAVY
from camscope.runs.run_plan import FORMAT, PLAN, Plan
from camscope.runs.store_lease import LEASE, leased
from camscope.runs.store_paths import (
    StorePath,
    absolute,
    make_folder,
    names_in,
    parquet_read,
    read_each,
    remove_tree,
    written_whole,
)
from camscope.surviving import LOCK, held, sweep

SHARDS, INPUTS, INDEX = "shards", "inputs", "index.parquet"

_LARGE = (*HEAVY, "source", "file_digest")

MARK = b"camscope"
"""The key under which a file says what it is."""


@dataclass(frozen=True)
class Unfinished(Collection[int]):
    """The numbers of shards that are to be done, in order; a byte of memory for each shard of the run.

    Attributes:
        own: the shards that are done here.
        whole: which of all shards of the run are there.
    """

    own: range
    whole: Bool[np.ndarray, " shard"]

    def __iter__(self) -> Iterator[int]:
        return (shard for shard in self.own if not self.whole[shard])

    def __len__(self) -> int:
        return len(self.own) - int(np.count_nonzero(self.whole[self.own.start :: self.own.step]))

    def __contains__(self, shard: object) -> bool:
        return isinstance(shard, int) and shard in self.own and not self.whole[shard]


@dataclass(frozen=True)
class RunStore:
    """The folder of a run, or what takes its place behind a URL.

    Attributes:
        path: where it is.
    """

    path: StorePath

    @property
    def is_begun(self) -> bool:
        """Whether there is a run."""
        return (self.path / PLAN).is_file()

    @property
    def shards(self) -> StorePath:
        """The folder of the shards."""
        return self.path / SHARDS

    @property
    def index(self) -> StorePath:
        """The file of all rows without their maps, which is there when the run is complete."""
        return self.path / INDEX

    def absolute(self) -> RunStore:
        """The same, as it is called from everywhere."""
        return RunStore(absolute(self.path))

    def shard(self, number: int) -> StorePath:
        """The file of a shard."""
        return self.shards / f"shard-{number:07d}.parquet"

    def inputs(self, size: int, share: Share) -> InputList:
        """The list of its inputs.

        Args:
            size: how many inputs a shard has.
            share: of the run.
        """
        return InputList(self.path / INPUTS, size, share)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the folder, keep other processes out, and take away what a killed write left.

        If no run is begun in it by the end, nothing is left: neither of the run, nor of folders that were made for it.

        Raises:
            InputError: if another process runs in it, it cannot be made, or it holds something else than a run.
        """
        made = _missing(self.path)
        self._make()
        taken = (
            f"Another process is writing the run '{self.path}'. Wait until it is done; or share the work: "
            f"{keyword('share', '1/2')} and {keyword('share', '2/2')}, each with a folder of its own."
        )
        if isinstance(self.path, Path):
            hold = held(self.path, taken=taken, what="a run", extra="runs")
        else:
            hold = leased(self.path, taken=taken)
        try:
            with hold:
                make_folder(self.shards)
                self._sweep()
                try:
                    yield
                    self._sweep()  # what workers of other machines left that were lost meanwhile
                finally:
                    if not self.is_begun:
                        remove_tree(self.path / INPUTS)
                        remove_tree(self.shards)
                        for folder in made[:1]:
                            with suppress(OSError):
                                (folder / LOCK).unlink()  # while it is held
        finally:
            with suppress(OSError):  # a run was begun, or something else was put there
                for folder in made:
                    folder.rmdir()

    def _sweep(self) -> None:
        for folder in (self.path, self.shards):
            if isinstance(folder, Path):
                sweep(folder)

    def finished(self, plan: Plan) -> tuple[Bool[np.ndarray, " shard"], list[int]]:
        """Which shards are there and whole, and those that are torn, which count as not there.

        Args:
            plan: of the run.

        Raises:
            InputError: if there is a shard of another run.
        """
        whole = np.zeros(plan.shards, np.bool_)
        torn = []
        for number, mark in read_each(self._marked, self._numbers(), self.path):
            if mark is None:
                torn.append(number)
            elif mark.get("plan") != plan.identity or number >= plan.shards:
                raise InputError(
                    f"'{self.shard(number)}' is a shard of another run than the plan beside it. Take it away, and run "
                    "again."
                )
            else:
                whole[number] = True
        return whole, sorted(torn)

    def has(self, number: int, plan: Plan) -> bool:
        """Whether a shard is there and whole, also if it was written meanwhile by another.

        Args:
            number: of the shard.
            plan: of the run.
        """
        mark = mark_of(self.shard(number))
        return mark is not None and mark.get("plan") == plan.identity

    def _numbers(self) -> Iterator[int]:
        return (number for name, _ in names_in(self.shards) if (number := number_of(name)) is not None)

    def _marked(self, number: int) -> tuple[int, dict[str, Any] | None]:
        return number, mark_of(self.shard(number))

    def write_shard(self, number: int, table: Any, plan: Plan, made: Mapping[str, Any] | None = None) -> None:
        """Write a shard; until it is whole, nothing of it is in its place.

        Args:
            number: of the shard.
            table: its rows.
            plan: of the run.
            made: what is noted of how it was made.

        Raises:
            InputError: if it cannot be written, because the disk is full say; nothing of it is left then.
        """
        mark = {"format": FORMAT, "plan": plan.identity, "shard": number, **(made or {})}
        write_table(self.shard(number), table, {MARK: json.dumps(mark).encode()})

    def _make(self) -> None:
        try:
            make_folder(self.path)
            inside = {name for name, _ in names_in(self.path)} - {LOCK, LEASE}
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(
                f"A run is a folder, and '{self.path}' is a file, or lies below one. Say another name."
            ) from error
        except OSError as error:
            raise InputError(
                f"The folder '{self.path}' cannot be made: {error.strerror or error}. Say another, where you may write."
            ) from error
        ours = {PLAN, SHARDS, INPUTS, INDEX}
        strange = sorted(name for name in inside - ours if not name.startswith("."))
        if strange and not self.is_begun:
            raise InputError(
                f"'{self.path}' holds files that are no run's, such as {strange[0]!r}. Take an empty folder, or a new "
                "one."
            )

    def clear(self) -> None:
        """Take away the run that is there, which this process holds."""
        (self.path / PLAN).unlink(missing_ok=True)  # first: without it there is no run
        self.index.unlink(missing_ok=True)
        for name in (SHARDS, INPUTS):
            remove_tree(self.path / name)
        make_folder(self.shards)


def _missing(path: StorePath) -> list[Path]:
    """The folder and those above it that are not there yet, from the innermost; none of a bucket."""
    if not isinstance(path, Path):
        return []
    return [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]


def number_of(name: str) -> int | None:
    """The number of a shard by the name of its file; None if that is none of a shard."""
    found = re.fullmatch(r"shard-(\d{7,})\.parquet", name)
    return int(found[1]) if found else None


def mark_of(file: StorePath) -> dict[str, Any] | None:
    """What a file of a store says of itself; empty if it is some other Parquet file, None if it is torn or not there.

    Raises:
        ImageError: if it cannot be read from a bucket.
    """
    pa, _ = pyarrow_modules()
    try:
        said = parquet_read(file, lambda table: table.metadata.metadata) or {}
    except (pa.ArrowException, OSError):
        return None
    return dict(json.loads(said.get(MARK, b"{}")))


def write_table(file: StorePath, table: Any, mark: dict[bytes, bytes]) -> None:
    """Write a Parquet file, whole or not at all, and on the disk before it takes its place.

    Args:
        file: where.
        table: its rows.
        mark: what it says of itself.

    Raises:
        InputError: if it cannot be written.
    """
    pa, pq = pyarrow_modules()
    content = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(mark), content, **packing(table.schema))
    if isinstance(file, Path) and not file.parent.is_dir():
        raise InputError(
            f"'{file.parent}' is not there any more. Is the drive of the run still there? What was finished before "
            "stays on it: when it is back, run the same again."
        )
    try:
        with written_whole(file) as aside, aside.open("wb") as stream:
            stream.write(content.getvalue())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InputError(
            f"'{file}' cannot be written: {error.strerror or error}. What was finished before stays: make room, and "
            "run the same again to go on."
        ) from error


def packing(schema: Any) -> dict[str, Any]:
    """How columns are packed, as options of pyarrow's writer: so that a page of rows of many files is read fast.

    What is large is packed well; of the many small columns LZ4 takes half of the time of Zstandard, and dictionaries
    of numbers save nothing.

    Args:
        schema: of the rows.
    """
    pa, _ = pyarrow_modules()
    ways, words = {}, []
    for field in schema:
        for path, kind in _leaves(pa, field.name, field.type):
            ways[path] = "zstd" if field.name in _LARGE else "lz4"
            words += [path] if pa.types.is_string(kind) else []
    return {"compression": ways, "use_dictionary": words}


def _leaves(pa: Any, path: str, kind: Any) -> Iterator[tuple[str, Any]]:
    """The columns of Parquet that a column of Arrow is kept in."""
    if pa.types.is_list(kind):
        yield from _leaves(pa, f"{path}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(pa, f"{path}.{field.name}", field.type)
    else:
        yield path, kind
