"""Texts as the inputs of a run: written on the command line, or one a line in a .txt file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from camscope.cli.file_names import stems_of_texts
from camscope.cli.show_words import show_words
from camscope.cli.showing import show_notes
from camscope.cli.sources import Again, File, Outcome
from camscope.engine.explainer import Explainer
from camscope.errors import InputError, without_warnings
from camscope.inputs.token_numbers import names_file
from camscope.results.explanation import Explanation
from camscope.results.figures import page


class Texts:
    """Texts: one that the model refuses is named, and the rest goes on. See `Sources`.

    Args:
        given: texts, and .txt files of one text a line.

    Raises:
        InputError: for a file that cannot be read, holds no text or is no .txt, or an empty text.
    """

    noun = "text"
    drawn_at_once = 1

    def __init__(self, given: Sequence[str]) -> None:
        self._texts = find_texts(given)
        self.names: Sequence[str] = list(self._texts)
        self.stems: Mapping[str, Path] = stems_of_texts(self.names)

    def read(self, explainer: Explainer, name: str) -> str:
        """One of them, which was read already."""
        return self._texts[name]

    def explained(
        self, explainer: Explainer, read: Mapping[str, str], options: Mapping[str, Any]
    ) -> Iterator[Outcome]:
        """All from one run of the model; if it refuses one, each from a run of its own. See `Sources`."""
        try:
            with without_warnings():
                e = explainer(list(read.values()), **options)
        except InputError as error:
            if len(read) == 1:
                yield Outcome(next(iter(read)), error)
                return
            for name, text in read.items():
                yield from self.explained(explainer, {name: text}, options)
            return
        for i, name in enumerate(read):
            yield Outcome(name, e[i])

    def overlays(self, e: Explanation, style: Mapping[str, Any]) -> Iterator[File]:
        """One page of all the coloured words. Its colours say the sign, so the style of pictures is not for it."""
        yield File("-words.html", lambda path: path.write_text(page(e), encoding="utf-8"))

    def show(self, people: Console, e: Explanation) -> None:
        """The words on their colours, what is wrong with a map beside them, and the notes."""
        show_words(people, e)
        show_notes(people, e.notes)

    def ideas(self, again: Again) -> list[str]:
        """What to try next."""
        return []


def find_texts(given: Sequence[str]) -> dict[str, str]:
    """The texts that were given, by what they are called: themselves, or `FILE.txt:LINE`.

    Raises:
        InputError: for a file that cannot be read, holds no text or is no .txt, or an empty text.
    """
    found: dict[str, str] = {}
    for one in given:
        if one.endswith(".txt") and (names_file(one) or not any(c.isspace() for c in one)):
            found |= dict(_lines(Path(one)))
        elif names_file(one):
            raise InputError(
                f"{one} is a file, and this model reads texts: give a text, or a .txt file of one a line."
            )
        elif not one.strip():
            raise InputError("A text that was given is empty.")
        else:
            found[one] = one
    return found


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InputError(f"{path} cannot be read: {reason}") from error
    texts = [(f"{path}:{number}", line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not texts:
        raise InputError(f"{path} holds no text.")
    yield from texts
