"""Data sets of Hugging Face's `datasets`: Parquet files with images in them, or the folder of `save_to_disk`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from camscope.errors import InputError, first_line, keyword
from camscope.runs.sources.one_input import INSIDE, DataOptions, Input, Kind
from camscope.runs.sources.parquet_files import features_of, parquet_file
from camscope.runs.sources.remote_files import beside, content, is_file
from camscope.training.labelling import listed
from camscope.training.tables import known_column, label_columns

STATE, SPLITS = "state.json", "dataset_dict.json"
"""The files by which the folder of `save_to_disk` is known: of a data set, and of one with parts."""


def has_images(file: str) -> bool:
    """Whether a Parquet file has images in it, and not only their paths."""
    with parquet_file(file) as table:
        return bool(_image_columns(table.schema_arrow))


def images_of_parquet(file: str, options: DataOptions) -> Iterator[Input]:
    """The images in a Parquet file, row by row; the images themselves are not read.

    Args:
        file: its path or URL.
        options: how it is to be understood.

    Raises:
        InputError: if it has no column of images or labels.
    """
    with parquet_file(file) as table:
        column, label, names = _meant(f"'{file}'", table.schema_arrow, options)
        row = 0
        for group in range(table.num_row_groups):
            count = table.metadata.row_group(group).num_rows
            labels = [None] * count
            if label is not None:
                labels = table.read_row_group(group, columns=[label])[label].to_pylist()
            for i, said in enumerate(labels):
                yield _row(file, column, row + i, _named(said, names), "parquet", group, i)
            row += count


def images_of_saved(folder: str, options: DataOptions) -> Iterator[Input]:
    """The images in the folder that `Dataset.save_to_disk` wrote.

    Args:
        folder: its path.
        options: how it is to be understood.

    Raises:
        InputError: if it is damaged, has parts of which one must be named, or no column of images.
    """
    if is_file(beside(folder, SPLITS)):
        splits = _json(beside(folder, SPLITS)).get("splits", [])
        if len(splits) != 1:
            raise InputError(
                f"'{folder}' is a data set with the parts {listed(splits)}. Say which: '{beside(folder, splits[0])}'."
            )
        folder = beside(folder, splits[0])
    for one in _json(beside(folder, STATE))["_data_files"]:
        yield from _images_of_arrow(beside(folder, one["filename"]), options)


def _images_of_arrow(file: str, options: DataOptions) -> Iterator[Input]:
    import pyarrow
    from pyarrow import ipc

    try:
        with pyarrow.memory_map(file) as stream, ipc.open_stream(stream) as batches:
            column, label, names = _meant(f"'{file}'", batches.schema, options)
            row = 0
            for batch in batches:
                labels = [None] * batch.num_rows if label is None else batch[label].to_pylist()
                for i, said in enumerate(labels):
                    yield _row(file, column, row + i, _named(said, names), "arrow", 0, row + i)
                row += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"'{file}' is no readable Arrow file: {first_line(error)}") from error


def _row(file: str, column: str, row: int, label: str | None, kind: Kind, first: int, second: int) -> Input:
    return Input(f"{file}{INSIDE}{column}/{row}", label, kind, first, second)


def _meant(table: str, schema: Any, options: DataOptions) -> tuple[str, str | None, Sequence[str] | None]:
    """The column of images, that of labels, and the names that numbers in it stand for."""
    found, columns = _image_columns(schema), list(schema.names)
    column = options.column and known_column(table, columns, options.column)
    if column is None and len(found) != 1:
        told = f"{listed(found)} have images" if found else "No column has images"
        raise InputError(
            f"Which column of {table} has the images? {told}; its columns: {listed(columns)}. Say it: "
            f"{keyword('column', like='NAME')}."
        )
    label = options.labels and known_column(table, columns, options.labels)
    if label is None:
        called = label_columns(columns)
        label = called[0] if len(called) == 1 else None
    names = features_of(schema).get(label, {}).get("names") if label else None
    return column or found[0], label, names


def _image_columns(schema: Any) -> list[str]:
    import pyarrow

    said = [name for name, about in features_of(schema).items() if dict(about).get("_type") == "Image"]
    if said:
        return said
    return [
        field.name
        for field in schema
        if pyarrow.types.is_struct(field.type) and {"bytes", "path"} <= {one.name for one in field.type}
    ]


def _named(label: Any, names: Sequence[str] | None) -> str | None:
    if label is None:
        return None
    if names is not None and isinstance(label, int) and 0 <= label < len(names):
        return str(names[label])
    return None if names is not None and label == -1 else str(label)  # −1 is what unlabelled parts have


def _json(file: str) -> Any:
    try:
        return json.loads(content(file))
    except ValueError as error:
        raise InputError(f"'{Path(file)}' is not what Dataset.save_to_disk wrote: {error}.") from error
