"""Photos as the inputs of a run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from camscope import render
from camscope.cli.file_names import ending_of, start_of, stems_of_photos
from camscope.cli.showing import show_notes, show_statuses
from camscope.cli.sources import Again, File, Outcome
from camscope.cli.writers import useful_threads
from camscope.engine.explainer import Explainer
from camscope.errors import InputError, without_warnings
from camscope.images import Photo, find_photos, read_photo
from camscope.results import figures
from camscope.results.explanation import Explanation
from camscope.signals import refuse_sound


class Photos:
    """Photos, read one by one: a broken one is named, and the rest goes on. See `Sources`.

    Args:
        given: files, folders, globs and samples.
        out: the folder that runs write into; the pictures in it are no photos, unless they are named.

    Raises:
        InputError: if a folder or a glob holds none.
    """

    noun = "photo"
    drawn_at_once = useful_threads()

    def __init__(self, given: Sequence[str], out: Path) -> None:
        for one in given:
            _refuse_what_others_take(one)
        self.names: Sequence[str] = _without(out, find_photos(given), given)
        self.stems: Mapping[str, Path] = stems_of_photos(given, self.names)

    def read(self, explainer: Explainer, name: str) -> Photo:
        """Read a photo; see `read_for`."""
        return read_for(explainer, name)

    def explained(
        self, explainer: Explainer, read: Mapping[str, Photo], options: Mapping[str, Any]
    ) -> Iterator[Outcome]:
        """All from one run of the model; see `Sources`."""
        with without_warnings():
            e = explainer(list(read.values()), **options)
        for i, name in enumerate(read):
            yield Outcome(name, e[i])

    def overlays(self, e: Explanation, style: Mapping[str, Any]) -> Iterator[File]:
        """One picture for each map."""
        for method, layer in e.raw:
            pictures = figures.overlays(e, 0, method, layer, **style)
            for title, picture in zip(e.titles[0], pictures, strict=True):
                yield File(ending_of(method, layer, title), picture)

    def show(self, people: Console, e: Explanation) -> None:
        """The notes of reading and explaining, and what is wrong with a map; the maps themselves are pictures."""
        show_notes(people, [*e.input_image(0).notes, *e.notes])
        show_statuses(people, e)

    def ideas(self, again: Again) -> list[str]:
        """What to try next."""
        return [
            f"{again(without=['--save'])} --save channels   # the feature maps the score is made of",
            f"{again(inputs=['YOUR-FOLDER'])}   # all photos in a folder, with a table",
        ]


_OF_RUNS = (".csv", ".tsv", ".parquet", ".pq", ".tar", ".txt")


_READS_TEXTS = "A model that reads texts takes it: --model hf:NAME."


def _refuse_what_others_take(given: str) -> None:
    """Refuse what is no photo here, and what another command or a model of another kind does take.

    Raises:
        InputError: naming it.
    """
    path = Path(given)
    if reads_as_text(given):
        raise InputError(
            f"There is no photo '{given}', and this model takes photos. Is it a text? {_READS_TEXTS}"
        )
    if (path / "plan.json").is_file():
        raise InputError(
            f"'{given}' is a run, which has been explained: camscope browse {given} looks at it."
        )
    if "://" in given or (path.suffix.lower() in _OF_RUNS and path.is_file()):
        what = "a URL" if "://" in given else f"a {path.suffix.lower()} file"
        raise InputError(
            f"'{given}' is {what}, and photos are files and folders of this machine here. camscope run takes tables, "
            f"lists, .tar files and URLs: camscope run {given} --out RUN."
            f"{f' Does it hold texts? {_READS_TEXTS}' if path.suffix == '.txt' else ''}"
        )


def reads_as_text(given: str) -> bool:
    """Whether these are words, and no path or pattern with a space in it.

    Args:
        given: as it was typed.
    """
    words, path = given.split(), Path(given)
    if len(words) < 2 or set(given) & set("/\\*[") or len(path.suffix.split()) == 1:
        return False
    try:
        return not path.exists()
    except (OSError, ValueError):  # too long for a path
        return True


def _without(out: Path, found: Sequence[str], given: Sequence[str]) -> list[str]:
    """The photos that were not written by a run: into this folder or one beside it, below where the person looked.

    Raises:
        InputError: if there are no others.
    """
    written = re.compile(rf"{re.escape(str(out.absolute()))}(-\d+)?{re.escape(os.sep)}")

    def is_ours(photo: str) -> bool:
        start = start_of(photo, given)
        if photo in given or start is None:
            return False
        if not written.match(str(Path(photo).absolute())):
            return False
        # who has pictures written beside the photos looks for photos in that very folder
        return start.absolute() in out.absolute().parents or render.was_saved_here(photo)

    photos = [photo for photo in found if not is_ours(photo)]
    if not photos:
        raise InputError(f"All photos there are were written by camscope, into {out}. Give others.")
    return photos


def in_folders(found: Sequence[str], given: Sequence[str]) -> bool:
    """Whether all photos lie in folders inside those that were given, which name classes then.

    Args:
        found: the photos.
        given: files, folders and globs.
    """
    starts = {Path(one).absolute() for one in given}
    return not any(Path(photo).absolute().parent in starts or photo in given for photo in found)


def read_for(explainer: Explainer, name: str) -> Photo:
    """Read a photo, of a size that the model's preprocessing can take.

    Args:
        explainer: of the model.
        name: of the photo.

    Raises:
        InputError: if it cannot be read, or has no such size.
    """
    refuse_sound(name)
    photo = read_photo(name)
    if explainer.preprocessing is not None:
        explainer.preprocessing.geometry(photo.size)
    return photo
