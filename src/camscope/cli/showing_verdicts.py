"""What people see of judged maps: the sentence, the table, the files; of many photos a line for each map."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from camscope.cli.showing import plain_table, show_files, show_notes
from camscope.trust import Judged, Judgement, Verdict
from camscope.trust.sentences import share_of_ceiling

_MOST_LINES = 20
_COLOURS = {Verdict.BEATS: "green", Verdict.UNJUDGED: "yellow"}


def show_judgement(people: Console, name: str, judgement: Judgement, files: Iterable[str]) -> None:
    """What is said of the maps of one photo.

    Args:
        people: where they read.
        name: what the photo is called.
        judgement: what was found.
        files: the paths of its files.
    """
    people.print(f"[bold]{escape(name)}[/]", soft_wrap=True)
    people.print(judgement.verdict, markup=False)
    people.print()
    table = judgement.table()
    styles = {i: _COLOURS[row.verdict] for i, row in enumerate(judgement.rows) if row.verdict in _COLOURS}
    people.print(table.rich(people.width, styles))
    people.print(table.caption, markup=False, style="dim")
    show_notes(people, judgement.explanation.notes)
    show_files(people, files)
    people.print()


def show_many(people: Console, rows: Iterable[tuple[str, Judged]]) -> None:
    """A line for each map of many photos, as far as they are few enough to be read.

    Args:
        people: where they read.
        rows: what each photo is called, and what is said of a map of it.
    """
    every = list(rows)
    table = plain_table("photo", "target", "method", "layer", "verdict", "of ceiling")
    for name, row in every[:_MOST_LINES]:
        cells = (name, row.target, row.method, row.layer, row.verdict, share_of_ceiling(row))
        table.add_row(*map(escape, cells), style=_COLOURS.get(row.verdict))
    people.print(table)
    if (more := len(every) - _MOST_LINES) > 0:
        people.print(f"and {more} more: --json gives all of them.", markup=False)
