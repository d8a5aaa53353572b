"""Sounds as the inputs of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from camscope.cli.file_names import ending_of, stems_of_photos
from camscope.cli.showing import show_notes, show_statuses
from camscope.cli.sources import Again, File, Outcome
from camscope.engine.explainer import Explainer
from camscope.errors import InputError, without_warnings
from camscope.results.explanation import Explanation
from camscope.signals import Sound, find_sounds, to_sound


class Sounds:
    """Sounds: one that cannot be read is named, and the rest goes on. See `Sources`.

    Args:
        given: .wav files, folders and globs.

    Raises:
        InputError: if a folder or a glob holds none.
    """

    noun = "sound"
    drawn_at_once = 1

    def __init__(self, given: Sequence[str]) -> None:
        self.names: Sequence[str] = find_sounds(given)
        self.stems: Mapping[str, Path] = stems_of_photos(given, self.names)

    def read(self, explainer: Explainer, name: str) -> Sound:
        """Read a sound."""
        return to_sound(name)

    def explained(
        self, explainer: Explainer, read: Mapping[str, Sound], options: Mapping[str, Any]
    ) -> Iterator[Outcome]:
        """Each by itself, since sounds have several lengths; see `Sources`."""
        for name, sound in read.items():
            try:
                given = explainer.prepare(sound)
            except InputError as error:
                yield Outcome(name, error)
                continue
            with without_warnings():
                yield Outcome(name, explainer(given, **options))

    def overlays(self, e: Explanation, style: Mapping[str, Any]) -> Iterator[File]:
        """One picture for each map: the sound on the colours of its evidence."""
        for method, layer in e.raw:
            for t, title in enumerate(e.titles[0]):
                yield File(ending_of(method, layer, title), e.overlay(0, t, method, layer, **style))

    def show(self, people: Console, e: Explanation) -> None:
        """When there is most evidence, the notes, and what is wrong with a map."""
        for key, times in e.summary()["most_evidence"].items():
            for target, span in zip(e.titles[0], times, strict=True):
                if span is not None:
                    when = f"{target}: most evidence from {span[0]:.2f} to {span[1]:.2f} s ({key})"
                    people.print(when, markup=False)
        show_notes(people, e.notes)
        show_statuses(people, e)

    def ideas(self, again: Again) -> list[str]:
        """What to try next."""
        return [f"{again(inputs=['YOUR-FOLDER'])}   # all .wav files in a folder, with a table"]
