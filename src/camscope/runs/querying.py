"""A store that is open: SQL over its rows by DuckDB, which reads of the files only what a question needs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Int64

from camscope.errors import InputError, keyword, nearest
from camscope.runs.arrow_numbers import as_arrow, numbers_in
from camscope.runs.needed_packages import duckdb_module
from camscope.runs.row_columns import HEAVY, SIMILARITY, TRUST, schema
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore, mark_of, number_of
from camscope.runs.sorted_keys import KEY, SortedKeys, ids_of
from camscope.runs.sources.remote_files import file_system
from camscope.runs.store_paths import BucketPath, StorePath, absolute, names_in, read_each

ROWS = "rows"
"""What all rows are called in a question, without what is large."""

WITH_MAPS = "_with_maps"
"""Behind that name: `id`, `row` and what is large, of all rows."""

AT_A_TIME = 4096
"""So many rows of a long answer are in memory together."""

_WIDE = 1 << 17
"""Likewise, where a row is two numbers."""

_MAGIC = b"PAR1"


@dataclass(frozen=True, eq=False)
class OpenStore:
    """A store that is open.

    Attributes:
        store: the folder.
        plan: of the run.
        files: of the shards that are there, by their numbers.
        indexed: whether the run is complete, and has its index.
    """

    store: RunStore
    plan: Plan
    files: dict[int, StorePath]
    indexed: bool
    _asked: set[Any] = field(default_factory=set)

    @classmethod
    def open(cls, path: StorePath) -> Self:
        """Open the store of a run.

        Args:
            path: its folder.

        Raises:
            InputError: if it is none, of another version, has no shard yet, or a file in it is torn or foreign.
        """
        store, plan = RunStore(path), Plan.read(path)
        files, bytes_of = {}, {}
        for name, size in sorted(names_in(store.shards)):
            number = number_of(name)
            if number is not None:
                files[number], bytes_of[number] = store.shards / name, size
            elif not name.startswith("."):
                raise InputError(
                    f"'{store.shards / name}' is no shard of this run. Take it out of the folder; nothing of it "
                    "is read."
                )
        if not files:
            raise InputError(
                f"'{path}' has no finished shard yet: run the same camscope run again, it goes on."
            )
        complete = len(files) == plan.shards
        index = mark_of(store.index) if complete and store.index.exists() else None
        indexed = index is not None and index.get("plan") == plan.identity
        sizes = index["sizes"] if index is not None and indexed else []
        unknown = (
            file
            for number, file in files.items()
            if not sizes or number >= len(sizes) or bytes_of[number] != sizes[number]
        )
        for file, mark in read_each(lambda file: (file, mark_of(file)), unknown, path):
            _check(file, mark, plan)
        return cls(store, plan, files, indexed)

    def is_complete(self) -> bool:
        """Whether all shards are there."""
        return len(self.files) == self.plan.shards

    @cached_property
    def connection(self) -> Any:
        """DuckDB, with `rows`; what it is asked can read nothing outside of the store."""
        return connected({ROWS: self})

    @cached_property
    def _connection_with_maps(self) -> Any:
        add_maps(self.connection, ROWS, self)
        return self.connection

    @cached_property
    def sorted_keys(self) -> SortedKeys:
        """The order of rows, by the question."""
        return SortedKeys(self.ask, lambda sql: self.stream(sql, at_a_time=_WIDE))

    @cached_property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.ask(f"SELECT count(*) AS n FROM {ROWS}")["n"][0].as_py())

    def similarity_of(self, keys: Int64[np.ndarray, " row"]) -> Any:
        """How like its class's mean map the map of each row is.

        Args:
            keys: of the rows, see `sorted_keys`.
        """
        ids = ", ".join(map(str, np.unique(ids_of(keys)))) or "-1"
        found = self.ask(f"SELECT {KEY}, {SIMILARITY} AS value FROM {ROWS} WHERE id IN ({ids})")
        known = numbers_in(found["key"])
        first = np.argsort(known)
        places = np.searchsorted(known[first], keys)
        return found["value"].take(as_arrow(first[places]))

    @contextmanager
    def _asking(self, sql: str) -> Iterator[Any]:
        """What a question is put to; from another thread it can be given up by `interrupt`."""
        own = (self._connection_with_maps if WITH_MAPS in sql else self.connection).cursor()
        self._asked.add(own)
        try:
            yield own
        finally:
            self._asked.discard(own)

    def interrupt(self) -> None:
        """Give up what is being asked, from another thread."""
        for cursor in list(self._asked):
            cursor.interrupt()

    @property
    def columns(self) -> list[str]:
        """The names of all columns, those that are large last."""
        light = [str(name) for name in schema(trust=self.plan.asked.trust).names if name not in HEAVY]
        return [*light, *([SIMILARITY] if self.indexed else []), *HEAVY]

    def check_words(self, words: str) -> None:
        """Refuse words that would end the expression that they stand in: then what follows is no longer a question.

        An expression stands between any brackets; what closes one kind of them does not parse between the others. So no
        words of a caller begin a statement of their own, which could write files.

        Args:
            words: of a caller, which become a part of a question.

        Raises:
            InputError: if they are no expression.
        """
        with teaching(self, words):
            for left, right in ("()", "[]"):
                found = duckdb_module().extract_statements(f"SELECT {left}{words}\n{right}")
                if len(found) != 1:
                    raise InputError(
                        f"{words!r} is more than one expression: no statement begins in a condition."
                    )

    def check(self, sql: str) -> None:
        """See whether a question is one; nothing is read.

        Raises:
            InputError: if it is no SQL, or of columns that are not there.
        """
        with teaching(self, sql), self._asking(sql) as cursor:
            cursor.sql(sql)

    def ask(self, sql: str) -> Any:
        """The answer to a question, as an Arrow table.

        Raises:
            InputError: if it is no SQL, or of columns that are not there.
        """
        with teaching(self, sql), self._asking(sql) as cursor:
            return cursor.sql(sql).to_arrow_table()

    def stream(self, sql: str, *, at_a_time: int = AT_A_TIME) -> Iterator[Any]:
        """The answer in parts, of which none is kept.

        Args:
            sql: the question.
            at_a_time: how many rows a part has.

        Raises:
            InputError: likewise.
        """
        with teaching(self, sql), self._asking(sql) as cursor:
            yield from cursor.sql(sql).to_arrow_reader(at_a_time)

    def of_images(self, ids: Sequence[int]) -> str:
        """The rows of some images with all that they hold, for a question: only the shards that they are in are read.

        Args:
            ids: of the images.
        """
        numbers = sorted({int(one) // self.plan.asked.shard_size for one in ids})
        files = [self.files[number] for number in numbers if number in self.files]
        own = ", ".join(str(one) for one in sorted({int(one) for one in ids}))
        if not files:
            return f"(SELECT * FROM {_parquet(list(self.files.values())[:1])} WHERE false)"
        return f"(SELECT * FROM {_parquet(files)} WHERE id IN ({own}))"


def connected(stores: dict[str, OpenStore]) -> Any:
    """DuckDB with the rows of some stores.

    Args:
        stores: by the name of their rows.
    """
    connection = duckdb_module().connect()
    spill = str(Path(tempfile.gettempdir()) / "camscope-duckdb")
    paths = [absolute(store.store.path) for store in stores.values()]
    for path in paths:
        if isinstance(path, BucketPath):
            connection.register_filesystem(file_system(path.url)[0])
    folders = ", ".join(_quoted(f"{path}/" if isinstance(path, BucketPath) else str(path)) for path in paths)
    connection.execute(f"SET temp_directory = {_quoted(spill)}")
    connection.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    connection.execute("SET enable_progress_bar = false; SET parquet_metadata_cache = true")
    for name, store in stores.items():
        every = _parquet([store.store.index]) if store.indexed else _parquet(list(store.files.values()))
        rows = f"* FROM {every}" if store.indexed else f"* EXCLUDE ({', '.join(HEAVY)}) FROM {every}"
        connection.execute(f"CREATE VIEW {name} AS SELECT {rows}")
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def add_maps(connection: Any, name: str, store: OpenStore) -> None:
    """Let DuckDB have what is large of some rows too; of many files that takes a while.

    Args:
        connection: of `connected`.
        name: of the rows.
        store: that they are of.
    """
    shards = _parquet(list(store.files.values()))
    connection.execute(
        f"CREATE OR REPLACE VIEW {name}{WITH_MAPS} AS SELECT id, row, {', '.join(HEAVY)} FROM {shards}"
    )


@contextmanager
def teaching(store: OpenStore, sql: str) -> Iterator[None]:
    """Say what DuckDB says in an error of this house, with the nearest column.

    Args:
        store: that is asked.
        sql: the question.

    Raises:
        InputError: in place of DuckDB's.
    """
    duckdb = duckdb_module()
    try:
        yield
    except duckdb.Error as error:
        raise InputError(_why(str(error), store, sql)) from error


def _why(said: str, store: OpenStore, sql: str) -> str:
    first = said.splitlines()[0].rstrip(".")
    if "INTERRUPT" in first:
        return "This question took too long, and was given up. Ask for fewer rows, or for something simpler."
    unknown = re.search(r'Referenced column "([^"]+)" (?:was )?not found', said)
    if unknown is not None:
        name = unknown[1]
        if name in HEAVY:
            return f"The column {name!r} is nothing to ask by: to_pandas(maps=True) and maps() give it."
        if name == TRUST:
            return (
                f"The column {TRUST!r} was not asked for when this run was begun: {keyword('trust', True)} measures "
                f"it, in a run of its own ({keyword('into', like='FOLDER')})."
            )
        if name == SIMILARITY:
            return f"The column {SIMILARITY!r} comes when '{store.store.path}' is complete: go on with it."
        if f'"{name}"' in sql and name not in store.columns:
            return f"There is no column {name!r}. If it is a word and no column, it stands in single quotes: '{name}'."
        hint = nearest(name, store.columns) or f" There are: {', '.join(store.columns)}."
        return f"There is no column {name!r}.{hint}"
    if "No magic bytes" in said or "Parquet file" in said:
        return f"A file of the run '{store.store.path}' is damaged: {first}. Run the same camscope run again."
    return f'This is no question that DuckDB understands: {first}. A condition is such as "label != top1".'


def _check(file: StorePath, mark: Mapping[str, Any] | None, plan: Plan) -> None:
    """Refuse a file that is not a whole shard of the run."""
    if mark is None:
        raise InputError(
            f"'{file}' is torn: a part of it is missing. Run the same camscope run again, which makes this shard anew "
            "and no other; or take the file away to look at the rest."
        )
    if mark.get("plan") != plan.identity:
        raise InputError(f"'{file}' is of another run than the plan beside it. Take it out of the folder.")


def _parquet(files: Sequence[StorePath]) -> str:
    return f"read_parquet([{', '.join(_quoted(str(absolute(file))) for file in files)}])"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
