"""Tables of labelled images: a row for each image, with its path or id and its labels."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from camscope.errors import InputError, keyword, nearest
from camscope.training.labelled import LIMIT, LabelledImages, Skipped, check_limit
from camscope.training.labelling import label, listed
from camscope.training.table_files import Cell, Columns, read_columns

_LABEL_NAMES = ("label", "labels", "class", "classes", "target", "category")
_SEPARATORS = ("|", ";", ",", " ")


@dataclass(frozen=True)
class TableOptions:
    """How a table is to be understood.

    Attributes:
        images: the folder that paths are relative to; None is the table's own.
        path: the path of an image, made of columns: ``{ID}.jpg``.
        column: the column of paths, instead; None is the one that names files that exist.
        labels: the column of labels; None is the one that is called so.
        separator: what stands between the labels of an image; None or empty where each has one.
        classes: the classes, in order; None takes all there are, in natural order.
        unreadable: the share of images that may be missing or without a label.
    """

    images: Path | None = None
    path: str | None = None
    column: str | None = None
    labels: str | None = None
    separator: str | None = None
    classes: Sequence[str] | None = None
    unreadable: float = LIMIT


class _Row(NamedTuple):
    path: str
    words: tuple[str, ...]


def read_table(file: Path, options: TableOptions | None = None) -> LabelledImages:
    """Read a table of labelled images.

    Args:
        file: CSV, TSV or Parquet, with a name for each column.
        options: how it is to be understood.

    Raises:
        InputError: the file is no such table, a column is not there or cannot be told, a label is not in the list, an
            image has two rows that disagree, or too many images are missing or without a label.
        MissingExtraError: it is Parquet and pyarrow is not installed.
    """
    options = options or TableOptions()
    base = options.images if options.images is not None else file.parent
    columns = read_columns(file)
    name = _label_column(file, columns, options.labels)
    cells = columns[name]
    words = [_words(cell, options.separator) for cell in cells]
    multilabel = bool(options.separator) or any(isinstance(cell, list) for cell in cells)
    found = {word for row in words for word in row}
    if options.separator is None and not multilabel:
        _check_single(file, name, found)
    if options.separator and not any(isinstance(cell, str) and options.separator in cell for cell in cells):
        _check_single(file, name, found)
    paths = _paths(file, columns, name, base, options)
    rows, skipped = _once(file, [_Row(path, tuple(row)) for path, row in zip(paths, words, strict=True)])
    rows, lost = _usable(rows, base, multilabel)
    _check_found(file, base, rows, lost, options.unreadable)
    labelling = label(
        [row.words for row in rows], [f"'{row.path}'" for row in rows], options.classes, f"'{file}'"
    )
    return LabelledImages(
        sources=[str(base / row.path) for row in rows],
        names=tuple(row.path for row in rows),
        classes=labelling.classes,
        targets=labelling.targets,
        multilabel=multilabel,
        skipped=(*skipped, *lost),
        notes=(*_strays(cells, options.separator), *labelling.notes),
        origin=f"'{file}'",
    )


def _label_column(file: Path, columns: Columns, given: str | None) -> str:
    if given is not None:
        return known_column(f"'{file}'", columns, given)
    called = label_columns(columns)
    if len(called) == 1:
        return called[0]
    which = f"{listed(called)} may be it" if called else "none is called label"
    raise InputError(
        f"Which column of '{file}' has the labels? {which}; its columns: {listed(list(columns))}. "
        f"Say it: {keyword('labels', like='NAME')}."
    )


def known_column(table: str, columns: Iterable[str], name: str) -> str:
    """A column's name, which must be there.

    Args:
        table: its name, in quotes.
        columns: their names.
        name: the one that is asked for.

    Raises:
        InputError: if it is not there; the message names the nearest.
    """
    names = list(columns)
    if name not in names:
        raise InputError(
            f"{table} has no column {name!r}.{nearest(name, names)} Its columns: {listed(names)}."
        )
    return name


def label_columns(columns: Iterable[str]) -> list[str]:
    """The columns that by their names have the labels."""
    return [name for name in columns if name.casefold() in _LABEL_NAMES]


def _words(cell: Cell, separator: str | None) -> list[str]:
    """The labels in a cell, each once, without the spaces around them."""
    pieces = cell if isinstance(cell, list) else cell.split(separator) if separator else [cell]
    return list(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))


def _strays(cells: Sequence[Cell], separator: str | None) -> list[str]:
    """A note about labels with spaces around them; between labels, spaces are usual."""
    strays = [cell for cell in cells if isinstance(cell, str) and cell != cell.strip() and separator != " "]
    return [f"{len(strays)} label(s) had stray spaces, such as {strays[0]!r}"] if strays else []


def _check_single(file: Path, column: str, words: set[str]) -> None:
    """Refuse labels that look like several in one, which would be classes of their own."""
    for separator in _SEPARATORS:
        joined = [word for word in words if separator in word]
        told = [
            word for word in joined if separator == "|" or words >= {p.strip() for p in word.split(separator)}
        ]
        if told:
            raise InputError(
                f"Labels of '{file}' such as {min(told)!r} (column {column!r}) look like several labels of one image: "
                f"say {keyword('separator', separator)}, or {keyword('separator', '')} if each is one label."
            )


def _paths(file: Path, columns: Columns, label_column: str, base: Path, options: TableOptions) -> list[str]:
    """The path of each row's image, relative to the base."""
    if options.path is not None:
        return _filled(file, columns, options.path)
    if options.column is not None:
        return [str(cell) for cell in columns[known_column(f"'{file}'", columns, options.column)]]
    others = [name for name in columns if name != label_column]
    files = [
        name for name in others if any((base / str(cell)).is_file() for cell in columns[name][:20] if cell)
    ]
    if len(files) == 1:
        return [str(cell) for cell in columns[files[0]]]
    told = f"{listed(files)} name files" if files else f"No column names files in '{base}'"
    raise InputError(
        f"Which column of '{file}' has the images? {told}; its columns: {listed(list(columns))}. Say "
        f"{keyword('column', like='NAME')} if it has paths, or {keyword('path', '{NAME}.jpg')} if it has ids; "
        f"{keyword('images', like='FOLDER')} says where they are."
    )


def _filled(file: Path, columns: Columns, template: str) -> list[str]:
    """A template of columns, filled for each row."""
    used = {field: columns[field] for field in template_fields(f"'{file}'", columns, template)}
    return [
        template.format_map(dict(zip(used, cells, strict=True))) for cells in zip(*used.values(), strict=True)
    ]


def template_fields(table: str, columns: Iterable[str], template: str) -> list[str]:
    """The columns that a path made of columns is made of.

    Args:
        table: its name, in quotes.
        columns: their names.
        template: such as `{ID}.jpg`.

    Raises:
        InputError: if it is no template, or names no column or one that is not there.
    """
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise InputError(
            f"{keyword('path', template)} is no template: {error}. Write it as '{{ID}}.jpg'."
        ) from error
    if not fields:
        raise InputError(
            f"{keyword('path', template)} names no column, so all images would be one. Write it as '{{ID}}.jpg'."
        )
    return [known_column(table, columns, field) for field in fields]


def _once(file: Path, rows: Sequence[_Row]) -> tuple[list[_Row], list[Skipped]]:
    """Each image once.

    Raises:
        InputError: two rows of an image disagree.
    """
    first: dict[str, tuple[int, _Row]] = {}
    again: list[Skipped] = []
    for at, row in enumerate(rows, start=1):
        number, known = first.setdefault(row.path, (at, row))
        if number == at:
            continue
        if set(known.words) != set(row.words):
            raise InputError(
                f"'{file}' labels '{row.path}' twice: {listed(known.words) or 'nothing'} in row {number}, "
                f"{listed(row.words) or 'nothing'} in row {at}. Give each image one row; several labels of an image "
                f"stand in one cell, with {keyword('separator')} between them."
            )
        again.append(Skipped(row.path, f"row {at} says the same as row {number}"))
    return [row for _, row in first.values()], again


def _usable(rows: Sequence[_Row], base: Path, multilabel: bool) -> tuple[list[_Row], list[Skipped]]:
    """The rows that have a file and a label, and why the others do not count."""
    usable, lost = [], []
    for row in rows:
        if not row.words and not multilabel:
            lost.append(Skipped(row.path, "it has no label"))
        elif not (base / row.path).is_file():
            lost.append(Skipped(row.path, f"there is no such file in '{base}'"))
        else:
            usable.append(row)
    return usable, lost


def _check_found(file: Path, base: Path, rows: Sequence[_Row], lost: Sequence[Skipped], limit: float) -> None:
    total = len(rows) + len(lost)
    if rows:
        return check_limit(lost, total, limit)
    here = (
        f" They are there relative to the current folder: {keyword('images', '.')}."
        if Path(lost[0].name).is_file()
        else ""
    )
    raise InputError(
        f"None of the {total} images of '{file}' can be used: '{lost[0].name}' is first, and {lost[0].reason}.{here} "
        f"{keyword('images', like='FOLDER')} says where they are, {keyword('path', '{ID}.jpg')} how a file's name is "
        "made."
    )
