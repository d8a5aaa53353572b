"""Parquet and Arrow files, of which a part is read at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from camscope.errors import InputError, MissingExtraError, first_line
from camscope.runs.sources.remote_files import opened
from camscope.training.table_files import cell_of

_AT_A_TIME = 4096


@contextmanager
def parquet_file(file: str) -> Iterator[Any]:
    """A Parquet file that is open.

    Args:
        file: its path or URL.

    Raises:
        InputError: if it is none.
        MissingExtraError: if pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "runs") from error
    try:
        with opened(file) as stream:
            yield parquet.ParquetFile(stream)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"'{file}' is no readable Parquet file: {first_line(error)}") from error


def columns_of(file: str) -> list[str]:
    """The names of the columns of a Parquet file."""
    with parquet_file(file) as table:
        return [str(name) for name in table.schema_arrow.names]


def rows_of(file: str, columns: Sequence[str]) -> Iterator[list[str]]:
    """The rows of a Parquet file as text, some thousands in memory at a time.

    Args:
        file: its path or URL.
        columns: those that are read.
    """
    with parquet_file(file) as table:
        for batch in table.iter_batches(_AT_A_TIME, columns=list(columns)):
            cells = [[_text(value) for value in batch[name].to_pylist()] for name in columns]
            yield from (list(row) for row in zip(*cells, strict=True))


def _text(value: Any) -> str:
    cell = cell_of(value)
    return cell if isinstance(cell, str) else "|".join(cell)


def features_of(schema: Any) -> Mapping[str, Any]:
    """What Hugging Face's `datasets` says of the columns in a file's schema; empty if it wrote none."""
    said = (schema.metadata or {}).get(b"huggingface")
    if said is None:
        return {}
    found = json.loads(said).get("info", {}).get("features", {})
    return found if isinstance(found, dict) else {}
