"""Which kind of source someone's words stand for."""

from __future__ import annotations

import glob
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from camscope.errors import InputError, nearest
from camscope.images import SAMPLE_PREFIX, is_image_name, sample_path
from camscope.runs.sources.in_datasets import SPLITS, STATE, has_images, images_of_parquet, images_of_saved
from camscope.runs.sources.in_folders import images_in, label_below
from camscope.runs.sources.in_tables import images_of_table
from camscope.runs.sources.in_tars import PACKED, images_of_tar, spelled_out
from camscope.runs.sources.one_input import DataOptions, Input
from camscope.runs.sources.remote_files import beside, is_file, is_folder, is_url, matching, opened, walk
from camscope.training.table_files import DELIMITERS

DataLike: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"
"""What a run is of: one or several of what `find_inputs` understands."""

STDIN = "-"
"""Stands for a list on standard input."""

_LISTS = (".txt", ".lst")

_OF_HUB = "hf:"


def find_inputs(data: DataLike, options: DataOptions | None = None) -> Iterator[Input]:
    """The inputs that someone's words stand for, as a stream: always in the same order, and never all in memory.

    Args:
        data: one or several of: an image; a folder of images, of tar files or of Parquet files; the folder of
            `Dataset.save_to_disk`; a glob; a table (.csv, .tsv, .parquet); a .parquet file with images in it; a .tar
            file of WebDataset's, also `name-{000..127}.tar`; a list (.txt), a path a line, with its label behind a tab;
            `-` for such a list on standard input; `sample:NAME`. Each may be a path or a URL.
        options: how tables and data sets are to be understood.

    Raises:
        InputError: if there is nothing, or it cannot be understood.
    """
    given = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    every = itertools.chain.from_iterable(_of(os.fspath(one), options or DataOptions()) for one in given)
    first = next(every, None)
    if first is None:
        raise InputError(
            f"There is no image in {', '.join(repr(os.fspath(one)) for one in given) or 'nothing'}."
        )
    return itertools.chain([first], every)


def _of(given: str, options: DataOptions) -> Iterator[Input]:
    if given == STDIN:
        return _listed(sys.stdin, "standard input")
    if given.startswith(SAMPLE_PREFIX):
        sample_path(given.removeprefix(SAMPLE_PREFIX))
        return iter([Input(given)])
    spelled = spelled_out(given)
    if len(spelled) > 1:
        return itertools.chain.from_iterable(_of(one, options) for one in spelled)
    if given and is_folder(given):
        return _of_folder(given, options)
    if glob.has_magic(given) and not (is_url(given) and "?" in given) and not os.path.lexists(given):
        return _of_glob(given, options)
    return _of_file(given, options)


def _of_file(given: str, options: DataOptions) -> Iterator[Input]:
    if given.startswith(_OF_HUB) and not is_url(given):
        name = given.removeprefix(_OF_HUB)
        raise InputError(
            f"'{given}' is how a model of the Hub is named. A data set of it is hf://datasets/{name or 'OWNER/NAME'}, "
            "with its owner before its name: it is read where its images are in Parquet files."
        )
    if not given or not is_file(given):
        raise InputError(f"There is no '{given}'.{_near(given)}")
    read = _reader(given)
    if read is None:
        raise InputError(
            f"'{given}' is nothing that images come in: expected an image, a table (.csv, .tsv, .parquet), a .tar file "
            "of WebDataset's, a list (.txt) or a folder."
        )
    return read(given, options)


def _reader(file: str) -> Callable[[str, DataOptions], Iterator[Input]] | None:
    """What reads a file of its kind; None if that is none."""
    suffix = Path(file).suffix.lower()
    if suffix in DELIMITERS:
        return images_of_table
    if suffix in (".parquet", ".pq"):
        return images_of_parquet if has_images(file) else images_of_table
    if suffix == ".tar" or file.endswith(PACKED):
        return lambda path, _: images_of_tar(path)
    if suffix in _LISTS:
        return lambda path, _: _list_file(path)
    if is_image_name(file):
        return lambda path, _: iter([Input(path)])
    return None


def _of_folder(folder: str, options: DataOptions) -> Iterator[Input]:
    if is_file(beside(folder, "plan.json")):
        raise InputError(f"'{folder}' is a run. camscope browse looks at it; a run is of images.")
    if not is_url(folder) and (is_file(beside(folder, STATE)) or is_file(beside(folder, SPLITS))):
        return images_of_saved(folder, options)
    images = images_in(folder)
    first = next(images, None)
    if first is not None:
        return itertools.chain([first], images)
    others = (path for path in walk(folder) if path.endswith((".tar", ".parquet")))
    inside = itertools.chain.from_iterable(_of_file(path, options) for path in others)
    first = next(inside, None)
    if first is None:
        count = sum(1 for _ in walk(folder))
        raise InputError(
            f"The folder '{folder}' and its subfolders hold no image, no .tar and no .parquet file"
            f"{f' among {count} files' if count else ''}."
        )
    return itertools.chain([first], inside)


def _of_glob(pattern: str, options: DataOptions) -> Iterator[Input]:
    found = matching(pattern)
    if not found:
        raise InputError(f"Nothing matches '{pattern}'.")
    known = [path for path in found if _is_known(path)]
    if not known:
        raise InputError(
            f"No image, table or .tar file matches '{pattern}', only {len(found)} other file(s)."
        )
    start = pattern[: min(pattern.find(one) for one in "*?[" if one in pattern)].rpartition("/")[0]

    def each() -> Iterator[Input]:
        for path in known:
            if is_image_name(path):
                yield Input(path, label_below(start, path))
            else:
                yield from _of_file(path, options)

    return each()


def _is_known(path: str) -> bool:
    return is_image_name(path) or path.endswith((*DELIMITERS, ".parquet", ".pq", ".tar", *_LISTS))


def _list_file(file: str) -> Iterator[Input]:
    with opened(file) as stream:
        lines = (line.decode("utf-8", errors="surrogateescape") for line in stream)
        yield from _listed(lines, f"'{file}'")


def _listed(lines: Iterable[str], name: str) -> Iterator[Input]:
    """The images of a list: a path a line, and behind a tab its label."""
    empty = True
    for line in lines:
        path, _, label = line.rstrip("\r\n").partition("\t")
        if path.strip():
            empty = False
            yield Input(path.strip(), label.strip() or None)
    if empty:
        raise InputError(f"The list on {name} is empty: expected a path a line.")


def _near(given: str) -> str:
    """What may have been meant where something is not: a name in its folder, and if there is none, what is taken."""
    if is_url(given):
        return " Is the name right, and what stands before it?"
    folder = Path(given).parent
    if not folder.is_dir():
        return f" There is no folder '{folder}' either; relative paths begin in '{Path.cwd()}'."
    hint = nearest(Path(given).name, [one.name for one in folder.iterdir()])
    return hint or (
        f" It is looked for in '{folder.absolute()}'. Give images, folders, globs, a table (.csv, .tsv, .parquet), a "
        "list (.txt), .tar files or URLs."
    )
