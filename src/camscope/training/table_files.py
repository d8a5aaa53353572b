"""Columns of a table in a file, CSV or Parquet, as text or lists of text."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from camscope.errors import InputError, MissingExtraError

Cell: TypeAlias = "str | list[str]"

Columns: TypeAlias = Mapping[str, Sequence[Cell]]
"""The cells of each column by its name; a missing value is empty."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}

SUFFIXES = (*_DELIMITERS, ".parquet", ".pq")
"""The suffixes of tables."""


def read_columns(file: Path) -> Columns:
    """Read a table.

    Args:
        file: CSV or TSV (UTF-8, the first row names the columns) or Parquet, told by the suffix.

    Raises:
        InputError: the file is missing, is no such table, or has no rows.
        MissingExtraError: it is Parquet and pyarrow is not installed.
    """
    if not file.is_file():
        raise InputError(f"There is no table '{file}'.")
    delimiter = _DELIMITERS.get(file.suffix.lower())
    columns = _parquet(file) if delimiter is None else _separated(file, delimiter)
    if not any(columns.values()):
        raise InputError(f"The table '{file}' has no rows.")
    return columns


def _separated(file: Path, delimiter: str) -> Columns:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(rows, [])]
            cells = []
            for row in rows:
                if row and len(row) != len(header):
                    raise InputError(
                        f"Line {rows.line_num} of '{file}' has {len(row)} cells, expected {len(header)}: "
                        f"{', '.join(header)}. A cell that holds {delimiter!r} stands in double quotes."
                    )
                cells += [row] if row else []
    except UnicodeDecodeError as error:
        raise InputError(f"'{file}' is no text in UTF-8: {error.reason} at byte {error.start}.") from error
    except csv.Error as error:
        raise InputError(f"'{file}' is damaged: {error}.") from error
    if len(set(header)) < len(header):
        raise InputError(f"'{file}' has two columns of one name: {', '.join(header)}.")
    return {name: [row[i] for row in cells] for i, name in enumerate(header)}


def _parquet(file: Path) -> Columns:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "train") from error
    try:
        table = parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"'{file}' is no readable Parquet file: {str(error).splitlines()[0]}") from error
    return {name: [_cell(value) for value in table[name].to_pylist()] for name in table.column_names}


def _cell(value: Any) -> Cell:
    """A value as it would stand in a CSV file; a list stays one."""
    if isinstance(value, list):
        return [str(_cell(item)) for item in value]
    if value is None or value != value:  # NaN is not equal to itself
        return ""
    if isinstance(value, float) and value.is_integer():  # so are integers where a row has none
        return str(int(value))
    return str(value)
