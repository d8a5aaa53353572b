"""Texts on the command line: written there, or one a line in a .txt file; and their words in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from camscope.errors import InputError
from camscope.inputs.token_numbers import names_file
from camscope.results import figures
from camscope.results.explanation import Explanation

_STRONGEST = 5


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


def show_words(console: Console, e: Explanation) -> None:
    """The words of one text on their colours, and the strongest in figures, for eyes and terminals without colours."""
    for row, words in figures.terminal(e):
        console.print(f"[bold]{escape(row.title)}[/] [dim]{escape(row.subtitle)}[/]")
        console.print(words)
        if row.note:
            console.print(row.note, style="yellow", markup=False)
    for method, layer in e.raw:
        for t, target in enumerate(e.targets[0]):
            named = f"{method}, " if len(e.raw) > 1 else ""
            console.print(
                f"{named}{target.label}: {_strongest(e.words(0, method, layer, target=t))}",
                style="dim",
                markup=False,
            )


def _strongest(words: Sequence[tuple[str, float]]) -> str:
    """The words with the most evidence for, and against."""
    for_it = sorted((pair for pair in words if pair[1] > 0), key=lambda pair: -pair[1])[:_STRONGEST]
    against = sorted((pair for pair in words if pair[1] < 0), key=lambda pair: pair[1])[:_STRONGEST]
    named = [
        f"{what} {', '.join(f'{word} {value:+.2g}' for word, value in some)}"
        for what, some in (("for", for_it), ("against", against))
        if some
    ]
    return "; ".join(named) or "no word has any evidence"


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
