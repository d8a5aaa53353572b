"""Tables of images: a row for each, with its path or an id, and its label."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from camscope.errors import InputError, keyword
from camscope.images import is_image_name
from camscope.runs.sources.one_input import DataOptions, Input
from camscope.runs.sources.parquet_files import columns_of, rows_of
from camscope.runs.sources.remote_files import beside, folder_of, is_file, is_url, opened
from camscope.training.labelling import listed
from camscope.training.table_files import DELIMITERS, separated_rows
from camscope.training.tables import known_column, label_columns, template_fields

_LOOKED_AT = 20
"""So many rows are looked at to find the column of paths."""


def images_of_table(file: str, options: DataOptions) -> Iterator[Input]:
    """The images of a table, row by row.

    Args:
        file: CSV, TSV or Parquet, its path or URL.
        options: how it is to be understood.

    Raises:
        InputError: if it is no such table, or a column is not there or cannot be told.
    """
    columns, rows = _read(file)
    name = f"'{file}'"
    first = list(itertools.islice(rows, _LOOKED_AT))
    if not first:
        there = f"only its header, {listed(list(columns))}" if any(columns) else "nothing"
        raise InputError(
            f"The table {name} holds {there}: expected a header, and below it a row for each image."
        )
    base = options.images if options.images is not None else folder_of(file)
    label = _label(name, columns, options.labels)
    path = _path(name, columns, first, label, base, options)
    for row in itertools.chain(first, rows):
        known = dict(zip(columns, row, strict=True))
        said = known[label].strip() if label else ""
        yield Input(beside(base, path(known)), said or None)


def is_table(file: str) -> bool:
    """Whether a file is a table by its name.

    Args:
        file: its path or URL.
    """
    return Path(file).suffix.lower() in (*DELIMITERS, ".parquet", ".pq")


def _read(file: str) -> tuple[list[str], Iterator[Sequence[str]]]:
    delimiter = DELIMITERS.get(Path(file).suffix.lower())
    if delimiter is None:
        columns = columns_of(file)
        return columns, rows_of(file, columns)
    rows = _separated(file, delimiter)
    return next(rows, []), rows


def _separated(file: str, delimiter: str) -> Iterator[list[str]]:
    with opened(file) as stream:
        yield from separated_rows(stream, f"'{file}'", delimiter)


def _label(table: str, columns: Sequence[str], given: str | None) -> str | None:
    if given is not None:
        return known_column(table, columns, given)
    called = label_columns(columns)
    if len(called) > 1:
        raise InputError(
            f"Which column of {table} has the labels? {listed(called)} may be it. Say it: "
            f"{keyword('labels', like='NAME')}."
        )
    return called[0] if called else None


def _path(
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    label: str | None,
    base: str,
    options: DataOptions,
) -> Callable[[dict[str, str]], str]:
    """What gives the path of a row's image."""
    if options.path is not None:
        template_fields(table, columns, options.path)
        return options.path.format_map
    if options.column is not None:
        column = known_column(table, columns, options.column)
        return lambda row: row[column]
    others = [i for i, name in enumerate(columns) if name != label]
    found = [i for i in others if any(_names_image(row[i], base) for row in rows)]
    if len(found) != 1:
        told = f"{listed([columns[i] for i in found])} name images" if found else "No column names images"
        raise InputError(
            f"Which column of {table} has the images? {told} in '{base or '.'}'; its columns: "
            f"{listed(list(columns))}. Say {keyword('column', like='NAME')} if it has paths, or "
            f"{keyword('path', '{NAME}.jpg')} if it has ids; {keyword('images', like='FOLDER')} says where they are."
        )
    name = columns[found[0]]
    return lambda row: row[name]


def _names_image(cell: str, base: str) -> bool:
    if not cell:
        return False
    path = beside(base, cell)
    return is_image_name(cell) if is_url(path) else is_image_name(cell) or is_file(path)
