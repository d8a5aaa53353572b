"""Photos as the inputs of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from camscope.cli.files import safe
from camscope.cli.output import without_warnings
from camscope.cli.showing import show_notes, show_statuses
from camscope.cli.sources import WHAT_THERE_IS, File, Outcome
from camscope.engine.explainer import Explainer
from camscope.errors import InputError
from camscope.images import Photo, find_photos, read_photo
from camscope.results.explanation import Explanation


class Photos:
    """Photos, read one by one: a broken one is named, and the rest goes on. See `Sources`.

    Args:
        given: files, folders, globs and samples.

    Raises:
        InputError: if a folder or a glob holds none.
    """

    noun = "photo"

    def __init__(self, given: Sequence[str]) -> None:
        self.names: Sequence[str] = find_photos(given)

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
                readable[name] = _read(name, explainer)
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
            for t, title in enumerate(e.titles[0]):
                ending = "".join(f"-{safe(part)}" for part in (method, layer, title))
                yield File(f"{ending}.png", e.overlay(0, t, method, layer, **style).save)

    def show(self, people: Console, e: Explanation) -> None:
        """The notes of reading and explaining, and what is wrong with a map; the maps themselves are pictures."""
        show_notes(people, [*e.input_image(0).notes, *e.notes])
        show_statuses(people, e)

    def ideas(self, again: str) -> list[str]:
        """What to try next."""
        return [
            f"{again} --save channels   # the feature maps the score is made of",
            WHAT_THERE_IS,
            "camscope explain YOUR-FOLDER --model timm:resnet50 --out maps",
        ]


def _read(name: str, explainer: Explainer) -> Photo:
    """One photo, of a size that the model's preprocessing can take."""
    photo = read_photo(name)
    if explainer.preprocessing is not None:
        explainer.preprocessing.geometry(photo.size)
    return photo
