"""Columns of a table in a file, CSV or Parquet, as text or lists of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

from camscope.errors import InputError, MissingExtraError, first_line

Cell: TypeAlias = "str | list[str]"

Columns: TypeAlias = Mapping[str, Sequence[Cell]]
"""The cells of each column by its name; a missing value is empty."""

DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""What stands between the cells of a text table, by its suffix."""

SUFFIXES = (*DELIMITERS, ".parquet", ".pq")
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
    delimiter = DELIMITERS.get(file.suffix.lower())
    columns = _parquet(file) if delimiter is None else _separated(file, delimiter)
    if not any(columns.values()):
        raise InputError(f"The table '{file}' has no rows.")
    return columns


def _separated(file: Path, delimiter: str) -> Columns:
    with file.open("rb") as stream:
        header, *cells = separated_rows(stream, f"'{file}'", delimiter)
    return {name: [row[i] for row in cells] for i, name in enumerate(header)}


def separated_rows(stream: IO[bytes], name: str, delimiter: str) -> Iterator[list[str]]:
    """The rows of a CSV file one by one, none of them empty; the first has the names of the columns.

    Args:
        stream: UTF-8.
        name: of the file, in quotes.
        delimiter: what stands between cells.

    Raises:
        InputError: if it is damaged, no such text, or two columns have one name.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        header = [column.strip() for column in next(rows, [])]
        if len(set(header)) < len(header):
            raise InputError(f"{name} has two columns of one name: {', '.join(header)}.")
        yield header
        for row in rows:
            if row and len(row) != len(header):
                raise InputError(
                    f"Line {rows.line_num} of {name} has {len(row)} cells, expected {len(header)}: "
                    f"{', '.join(header)}. A cell that holds {delimiter!r} stands in double quotes."
                )
            if row:
                yield row
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is no text in UTF-8: {error.reason} at byte {error.start}.") from error
    except csv.Error as error:
        raise InputError(f"{name} is damaged: {error}.") from error
    finally:
        text.detach()


def _parquet(file: Path) -> Columns:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "train") from error
    try:
        table = parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"'{file}' is no readable Parquet file: {first_line(error)}") from error
    return {name: [cell_of(value) for value in table[name].to_pylist()] for name in table.column_names}


def cell_of(value: Any) -> Cell:
    """A value as it would stand in a CSV file; a list stays one."""
    if isinstance(value, list):
        return [str(cell_of(item)) for item in value]
    if value is None or value != value:  # NaN is not equal to itself
        return ""
    if isinstance(value, float) and value.is_integer():  # so are integers where a row has none
        return str(int(value))
    return str(value)
