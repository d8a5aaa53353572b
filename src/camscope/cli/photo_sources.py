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

    def __init__(self, given: Sequence[str], out: Path) -> None:
        self.names: Sequence[str] = _without(out, find_photos(given), given)
        self.stems: Mapping[str, Path] = stems_of_photos(given, self.names)

    def explained(
        self, explainer: Explainer, names: Sequence[str], options: Mapping[str, Any]
    ) -> Iterator[Outcome]:
        """Those that cannot be read, then those that can, from one run of the model.

        Args:
            explainer: of the model.
            names: which photos.
            options: of the explainer's call.

        Raises:
            CamscopeError: if the options do not suit the model.
        """
        readable: dict[str, Photo] = {}
        for name in names:
            try:
                readable[name] = read_for(explainer, name)
            except InputError as error:
                yield Outcome(name, error)
        if not readable:
            return
        with without_warnings():
            e = explainer(list(readable.values()), **options)
        for i, name in enumerate(readable):
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
