"""The folder of a run: its plan, its list of inputs and its shards, each whole or not there."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.errors import InputError, keyword
from camscope.runs.input_list import InputList, Share
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.row_columns import HEAVY
from camscope.runs.run_plan import FORMAT, PLAN, Plan
from camscope.surviving import LOCK, held, sweep, written_aside

SHARDS, INPUTS, INDEX = "shards", "inputs", "index.parquet"

_LARGE = (*HEAVY, "source", "file_digest")

MARK = b"camscope"
"""The key under which a file says what it is."""


@dataclass(frozen=True)
class RunStore:
    """The folder of a run.

    Attributes:
        path: where it is.
    """

    path: Path

    @property
    def is_begun(self) -> bool:
        """Whether there is a run."""
        return (self.path / PLAN).is_file()

    @property
    def index(self) -> Path:
        """The file of all rows without their maps, which is there when the run is complete."""
        return self.path / INDEX

    def shard(self, number: int) -> Path:
        """The file of a shard."""
        return self.path / SHARDS / f"shard-{number:07d}.parquet"

    def inputs(self, size: int, share: Share) -> InputList:
        """The list of its inputs.

        Args:
            size: how many inputs a shard has.
            share: of the run.
        """
        return InputList(self.path / INPUTS, size, share)

    @contextmanager
    def held(self, *, restart: bool = False) -> Iterator[None]:
        """Have the folder, keep other processes out, and take away what a killed write left.

        Args:
            restart: whether the run that is there is taken away.

        Raises:
            InputError: if another process runs in it, it cannot be made, or it holds something else than a run.
        """
        self._make()
        taken = (
            f"Another process is writing the run '{self.path}'. Wait until it is done; or share the work: "
            f"{keyword('share', '1/2')} and {keyword('share', '2/2')}, each with a folder of its own."
        )
        with held(self.path, taken=taken, what="a run", extra="runs"):
            if restart:
                self._clear()
            sweep(self.path)
            (self.path / SHARDS).mkdir(exist_ok=True)
            sweep(self.path / SHARDS)
            yield

    def finished(self, plan: Plan) -> tuple[set[int], list[int]]:
        """The shards that are there and whole, and those that are torn, which count as not there.

        Args:
            plan: of the run.

        Raises:
            InputError: if there is a shard of another run.
        """
        done, torn, identity = set(), [], plan.identity
        for file in sorted((self.path / SHARDS).iterdir()):
            number = number_of(file)
            if number is None:
                continue
            mark = mark_of(file)
            if mark is None:
                torn.append(number)
            elif mark.get("plan") != identity:
                raise InputError(
                    f"'{file}' is a shard of another run than the plan beside it. Take it away, and run again."
                )
            else:
                done.add(number)
        return done, torn

    def write_shard(self, number: int, table: Any, plan: Plan) -> None:
        """Write a shard; until it is whole, nothing of it is in its place.

        Args:
            number: of the shard.
            table: its rows.
            plan: of the run.

        Raises:
            InputError: if it cannot be written, because the disk is full say; nothing of it is left then.
        """
        mark = {"format": FORMAT, "plan": plan.identity, "shard": number}
        write_table(self.shard(number), table, {MARK: json.dumps(mark).encode()})

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            inside = {one.name for one in self.path.iterdir()} - {LOCK}
        except OSError as error:
            raise InputError(
                f"The folder '{self.path}' cannot be made: {error.strerror or error}."
            ) from error
        ours = {PLAN, SHARDS, INPUTS, INDEX}
        strange = sorted(name for name in inside - ours if not name.startswith("."))
        if strange and not self.is_begun:
            raise InputError(
                f"'{self.path}' holds files that are no run's, such as {strange[0]!r}. Take an empty folder, or a new "
                "one."
            )

    def _clear(self) -> None:
        (self.path / PLAN).unlink(missing_ok=True)  # first: without it there is no run
        self.index.unlink(missing_ok=True)
        for name in (SHARDS, INPUTS):
            shutil.rmtree(self.path / name, ignore_errors=True)


def number_of(file: Path) -> int | None:
    """The number of a shard by its file's name; None if that is none of a shard."""
    found = re.fullmatch(r"shard-(\d{7,})\.parquet", file.name)
    return int(found[1]) if found else None


def mark_of(file: Path) -> dict[str, Any] | None:
    """What a file of a store says of itself; empty if it is some other Parquet file, None if it is torn."""
    pa, pq = pyarrow_modules()
    try:
        said = pq.read_metadata(file).metadata or {}
    except (pa.ArrowException, OSError):
        return None
    return dict(json.loads(said.get(MARK, b"{}")))


def write_table(file: Path, table: Any, mark: dict[bytes, bytes]) -> None:
    """Write a Parquet file: beside its place first, and on the disk before it takes it.

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
    try:
        with written_aside(file) as aside, aside.open("wb") as stream:
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
