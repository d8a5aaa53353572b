"""A store that is open: SQL over its rows by DuckDB, which reads of the files only what a question needs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from camscope.errors import InputError, nearest
from camscope.runs.needed_packages import duckdb_module
from camscope.runs.row_columns import schema
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import SHARDS, RunStore, mark_of, number_of

ROWS = "rows"
"""What all rows are called in a question."""

SIMILARITY_COLUMN = "similarity"
"""The column that lies beside the shards."""

AT_A_TIME = 4096
"""So many rows of a long answer are in memory together."""

_MAGIC = b"PAR1"
_CHECKED_WHOLE = 1000
"""Of so many files it is looked at what each says of itself; of more at the ends of each, which a torn one has not."""


@dataclass(frozen=True, eq=False)
class OpenStore:
    """A store that is open.

    Attributes:
        store: the folder.
        plan: of the run.
        files: of the shards that are there, by their numbers.
    """

    store: RunStore
    plan: Plan
    files: dict[int, Path]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the store of a run.

        Args:
            path: its folder.

        Raises:
            InputError: if it is none, of another version, has no shard yet, or a file in it is torn or foreign.
        """
        store, plan = RunStore(path), Plan.read(path)
        folder = path / SHARDS
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        files = {}
        for file in inside:
            number = number_of(file)
            if number is not None:
                files[number] = file
            elif not file.name.startswith("."):
                raise InputError(
                    f"'{file}' is no shard of this run. Take it out of the folder; nothing of it is read."
                )
        if not files:
            raise InputError(
                f"'{path}' has no finished shard yet: run the same camscope run again, it goes on."
            )
        for file in files.values():
            _check_whole(file)
        if len(files) <= _CHECKED_WHOLE:
            for file in files.values():
                _check_ours(file, plan)
        return cls(store, plan, files)

    def is_complete(self) -> bool:
        """Whether all shards are there."""
        return len(self.files) == self.plan.shards

    @property
    def has_similarity(self) -> bool:
        """Whether it is known how like its class's mean map each map is."""
        return self.store.similarity.exists()

    @cached_property
    def connection(self) -> Any:
        """DuckDB, with `rows`; what it is asked can read nothing outside of the store."""
        return connected({ROWS: self})

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        names = [str(name) for name in schema().names]
        return [*names, SIMILARITY_COLUMN] if self.has_similarity else names

    def check(self, sql: str) -> None:
        """See whether a question is one; nothing is read.

        Raises:
            InputError: if it is no SQL, or of columns that are not there.
        """
        with teaching(self):
            self.connection.sql(self.with_similarity(sql))

    def ask(self, sql: str, *, whole: bool = False) -> Any:
        """The answer to a question, as an Arrow table.

        Args:
            sql: the question.
            whole: whether it says itself where the column that lies beside the shards comes from.

        Raises:
            InputError: if it is no SQL, or of columns that are not there.
        """
        with teaching(self):
            return self.connection.sql(sql if whole else self.with_similarity(sql)).to_arrow_table()

    def stream(self, sql: str) -> Iterator[Any]:
        """The answer in parts, of which none is kept.

        Raises:
            InputError: likewise.
        """
        with teaching(self):
            yield from self.connection.cursor().sql(self.with_similarity(sql)).to_arrow_reader(AT_A_TIME)

    def of_images(self, ids: Sequence[int]) -> str:
        """The rows of some images, for a question: only the shards that they are in are read.

        Args:
            ids: of the images.
        """
        numbers = sorted({int(one) // self.plan.asked.shard_size for one in ids})
        files = [self.files[number] for number in numbers if number in self.files]
        if not files:
            return f"(SELECT * FROM {ROWS} WHERE false)"
        own = ", ".join(str(int(one)) for one in sorted({int(one) for one in ids}))
        return f"(SELECT * FROM {_parquet(files)} WHERE id IN ({own}))"

    def similarity_of(self, ids: Sequence[int]) -> str:
        """The column that lies beside the shards, of some images, for a question.

        Args:
            ids: of the images.
        """
        own = ", ".join(str(int(one)) for one in sorted({int(one) for one in ids})) or "-1"
        return f"(SELECT * FROM {_parquet([self.store.similarity])} WHERE id IN ({own}))"

    def with_similarity(self, sql: str, name: str = ROWS) -> str:
        """The question, with the column that lies beside the shards where it asks for that.

        Args:
            sql: the question.
            name: of its rows.
        """
        if not re.search(rf"\b{SIMILARITY_COLUMN}\b", sql) or not self.has_similarity:
            return sql
        return re.sub(rf"\bFROM {name}\b", f"FROM {name}_and_similarity", sql)


def connected(stores: dict[str, OpenStore]) -> Any:
    """DuckDB with the rows of some stores.

    Args:
        stores: by the name of their rows.
    """
    connection = duckdb_module().connect()
    spill = str(Path(tempfile.gettempdir()) / "camscope-duckdb")
    folders = ", ".join(_quoted(str(store.store.path.absolute())) for store in stores.values())
    connection.execute(f"SET temp_directory = {_quoted(spill)}")
    connection.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    connection.execute("SET enable_progress_bar = false; SET parquet_metadata_cache = true")
    for name, store in stores.items():
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {_parquet(list(store.files.values()))}")
        if store.has_similarity:
            beside = _parquet([store.store.similarity])
            connection.execute(
                f"CREATE VIEW {name}_and_similarity AS SELECT * FROM {name} LEFT JOIN {beside} USING (id, row)"
            )
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


@contextmanager
def teaching(store: OpenStore) -> Iterator[None]:
    """Say what DuckDB says in an error of this house, with the nearest column.

    Args:
        store: that is asked.

    Raises:
        InputError: in place of DuckDB's.
    """
    duckdb = duckdb_module()
    try:
        yield
    except duckdb.Error as error:
        raise InputError(_why(str(error), store)) from error


def _why(said: str, store: OpenStore) -> str:
    first = said.splitlines()[0].rstrip(".")
    unknown = re.search(r'Referenced column "([^"]+)" (?:was )?not found', said)
    if unknown is not None:
        name = unknown[1]
        if name == SIMILARITY_COLUMN:
            return f"The column {SIMILARITY_COLUMN!r} comes when '{store.store.path}' is complete: go on with it."
        hint = nearest(name, store.columns) or f" There are: {', '.join(store.columns)}."
        return f"There is no column {name!r}.{hint}"
    if "No magic bytes" in said or "Parquet file" in said:
        return f"A file of the run '{store.store.path}' is damaged: {first}. Run the same camscope run again."
    return f'This is no question that DuckDB understands: {first}. A condition is such as "label != top1".'


def _check_whole(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            begin = stream.read(4)
            stream.seek(-4, 2)
            end = stream.read(4)
    except OSError:
        begin = end = b""
    if begin != _MAGIC or end != _MAGIC:
        raise InputError(
            f"'{file}' is torn: its end is missing. Run the same camscope run again, which makes this shard anew and "
            "no other; or take the file away to look at the rest."
        )


def _check_ours(file: Path, plan: Plan) -> None:
    mark = mark_of(file)
    if mark is None:
        raise InputError(
            f"'{file}' is damaged. Run the same camscope run again, which makes this shard anew."
        )
    if mark.get("plan") != plan.identity:
        raise InputError(f"'{file}' is of another run than the plan beside it. Take it out of the folder.")


def _parquet(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(_quoted(str(file.absolute())) for file in files)}])"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
