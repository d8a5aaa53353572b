"""`camscope choose`: which method and layer serve a model on your photos; a file that `explain --as` takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from camscope import render
from camscope.cli.app import say_error
from camscope.cli.model_options import DEMO, ModelOptions
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.photo_sources import in_folders
from camscope.cli.request import read_inputs, read_methods, read_words
from camscope.cli.showing import plain_table, show_files, show_notes
from camscope.engine.looking import FOLDERS
from camscope.errors import InputError, MissingExtraError, check_folder
from camscope.images import find_photos
from camscope.trust import Choice

_NO_PHOTOS = (
    "Which photos? Give a folder with at least 50, such as camscope choose my-photos, or files and globs. Folders of "
    "classes inside it (my-photos/cat, my-photos/dog) are taken for labels."
)


def choose(
    *photos: str,
    model: ModelOptions = DEMO,
    methods: Annotated[list[str] | None, Parameter(("--methods", "--method"), negative="")] = None,
    layers: Annotated[list[str] | None, Parameter(("--layers", "--layer"), negative="")] = None,
    out: Path = Path("choice.json"),
    labels: Literal["folders", "none"] = "folders",
    groups: str | None = None,
    by: Literal["mosaics", "fidelity"] = "mosaics",
    probes: int | None = None,
    seed: int = 0,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Choose the method and layer that serve a model on your photos: camscope explain PHOTO --as choice.json.

    Mosaics of your own photos rank the candidates on one half; the best one's fidelity is tested on the other.

    Parameters
    ----------
    photos
        A folder, files or globs: photos of at least two classes (four are better), at least 50 in all.
    model
        Which model, and how it is opened; see `camscope.cli.model_options.ModelOptions`.
    methods : list[str]
        The candidates, separated by commas; `camscope methods` lists them. Default: those that cost no more than a
        forward and a short backward.
    layers
        Where, separated by commas; `camscope layers` lists them. Default: the automatic choice and its runners-up.
    out
        The file that the choice is written to, and a figure beside it. If it is there already, one with a number
        behind its name.
    labels
        folders: the folder that a photo lies in names its class, if the model has such classes. none: what the model
        sees is taken for true.
    groups
        A regular expression for what photos of one patient or video share in their paths, such as "(patient[0-9]+)":
        no group is in both halves.
    by
        mosaics; or fidelity, where no mosaics can be made, as of photos of one class.
    probes
        How many altered copies of each photo fidelity is measured by. Default: 128, or 256 for maps of more than 7×7.
    seed
        Of the split, the mosaics and the bootstrap.
    overwrite
        Write over --out if it is there.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    found = find_photos(read_inputs(photos, _NO_PHOTOS))
    of_groups = None if groups is None else _groups(groups, found)
    candidates, places = list(read_methods(methods)) or None, read_words(layers) or None
    file = _free(out, overwrite)
    people = console(stderr=as_json)
    with quiet_stdout(as_json):
        with people.status("loading the model …") if people.is_terminal else nullcontext():
            explainer = model.open()
        choice = explainer.choose(
            found,
            methods=candidates,
            layers=places,
            labels=FOLDERS if labels == "folders" and in_folders(found, photos) else None,
            groups=of_groups,
            by=by,
            probes=probes,
            seed=seed,
            tell=lambda price: people.print(price, markup=False, soft_wrap=True),
        )
        written = _write(choice, file)
    for name, reason in choice.left_out:
        say_error(reason if name in reason else f"{name}: {reason}")
    if as_json:
        print_json({**choice.to_dict(), "files": written})
        return
    _show(people, choice, written)
    people.print("Try next:", style="bold")
    again = shlex.join(["camscope", "explain", "PHOTO", *model.words(), "--as", written[0]])
    people.print(f"  {again}", markup=False, soft_wrap=True)


def _show(people: Console, choice: Choice, written: Sequence[str]) -> None:
    """The recommendation in words, the table, and the notes."""
    table = choice.table()
    shown = plain_table(*table.columns)
    for number, row in enumerate(table.rows):
        cells = [escape(cell) for cell in row]
        shown.add_row(*cells, style="bold" if number in table.bold else None)
    people.print(escape(choice.says), style="bold" if choice.beats_all else "yellow")
    people.print(shown)
    if (more := len(choice.candidates) + len(choice.baselines) - len(table.rows)) > 0:
        people.print(f"and {more} more candidates: all are in {written[0]}", markup=False, soft_wrap=True)
    show_notes(people, choice.notes)
    show_files(people, written)


def _write(choice: Choice, file: Path) -> list[str]:
    """The choice and its figure; the figure only where there is what draws it."""
    written = [str(choice.save(file))]
    figure = file.with_suffix(".png")
    try:
        render.save(choice.figure(), figure)
    except MissingExtraError as error:
        say_error(f"{figure} was not drawn: {error}")
        return written
    return [*written, str(figure)]


def _free(out: Path, overwrite: bool) -> Path:
    """The file to write, or one beside it with a number behind its name, if it is there already.

    Raises:
        InputError: if it is no name of a JSON file, or its folder is not there.
    """
    if out.suffix not in ("", ".json"):
        raise InputError(
            f"--out {out}: a choice is written as .json, not {out.suffix}; its figure lies beside it."
        )
    check_folder(out)
    file = out.with_suffix(".json")
    beside = (file.with_stem(f"{file.stem}-{number}") for number in count(2))
    taken = not overwrite and any(one.exists() for one in (file, file.with_suffix(".png")))
    if not taken:
        return file
    return next(one for one in beside if not (one.exists() or one.with_suffix(".png").exists()))


def _groups(pattern: str, found: Sequence[str]) -> list[str]:
    """What of each path its photos share.

    Raises:
        InputError: if it is no regular expression, or a path does not match it.
    """
    try:
        matched = {photo: re.search(pattern, photo) for photo in found}
    except re.error as error:
        raise InputError(
            f"--groups {pattern!r} is no regular expression: {error}. An example: '(patient[0-9]+)'."
        ) from error
    if none := [photo for photo, match in matched.items() if match is None]:
        raise InputError(
            f"--groups {pattern!r} is not in the path of {len(none)} of {len(found)} photos, such as {none[0]!r}."
        )
    return [match.group(match.lastindex or 0) for match in matched.values() if match is not None]
