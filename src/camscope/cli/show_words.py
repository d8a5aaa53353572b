"""The words of a text in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from camscope.results import figures
from camscope.results.explanation import Explanation

_STRONGEST = 5


def show_words(people: Console, e: Explanation) -> None:
    """The words of one text on their colours, and the strongest in figures, for eyes and terminals without colours."""
    for row, words in figures.terminal(e):
        people.print(f"[bold]{escape(row.title)}[/] [dim]{escape(row.subtitle)}[/]")
        people.print(words)
        if row.note:
            people.print(row.note, style="yellow", markup=False)
    for method, layer in e.raw:
        for t, target in enumerate(e.targets[0]):
            named = f"{method}, " if len(e.raw) > 1 else ""
            people.print(
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
