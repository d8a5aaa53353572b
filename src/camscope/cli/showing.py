"""What people see of a result: tables, notes, what is wrong with a map, which files there are."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from camscope.cli.sources import Sources
from camscope.results.explanation import Explanation
from camscope.results.status import Status

FEW = 3
"""So many inputs are shown one by one; of more there is a line each."""


def plain_table(*headings: str, style: str = "dim") -> Table:
    """A table without lines; without headings too if there are none."""
    table = Table(box=None, pad_edge=False, show_header=bool(headings))
    for heading in headings:
        table.add_column(heading, header_style=style)
    return table


def show_explanation(
    people: Console, e: Explanation, name: str, *, sources: Sources, written: Iterable[str]
) -> None:
    """One input: its top classes, the layers, what its maps say, and the files.

    Args:
        people: where they read.
        e: the explanation of this input.
        name: what the input is called.
        sources: what the input is one of.
        written: the paths of its files.
    """
    people.print(f"[bold]{escape(name)}[/]", soft_wrap=True)
    _show_classes(people, e)
    _show_layers(people, e)
    sources.show(people, e)
    show_files(people, written)
    people.print()


def show_notes(people: Console, notes: Iterable[str]) -> None:
    """What a careful reader should be told."""
    for note in notes:
        people.print(f"note: {escape(note)}", style="yellow")


def show_statuses(people: Console, e: Explanation) -> None:
    """The maps of one input with which not all is well."""
    for (method, layer), (statuses,) in e.status.items():
        for target, status in zip(e.targets[0], statuses, strict=True):
            if status != Status.OK:
                line = f"{method} at {layer}, {target.label}: {status.words}"
                people.print(line, style="yellow", markup=False)


def show_files(people: Console, written: Iterable[str]) -> None:
    """The files that were written, a path to be copied on each line."""
    for path in written:
        people.print(f"wrote {path}", markup=False, soft_wrap=True)


def percent(probability: float | None, otherwise: str) -> str:
    """A probability for people, or what stands where there is none."""
    return otherwise if probability is None else f"{probability:.1%}"


def _show_classes(people: Console, e: Explanation) -> None:
    table = plain_table("class", f"name{' (untrained)' if e.untrained else ''}", "probability", "score")
    for column in (0, 2, 3):
        table.columns[column].justify = "right"
    for index, name, logit, probability in e.top(5):
        table.add_row(str(index), escape(name), percent(probability, "–"), f"{logit:.2f}")
    people.print(table)


def _show_layers(people: Console, e: Explanation) -> None:
    layers = e.provenance["layers"]
    for name, about in layers["layers"].items():
        why = ", fused" if name in layers.get("fused", ()) else ""
        if name == layers.get("choice"):
            others = ", ".join(layers["runners_up"])
            why = f", chosen automatically ({f'next: {others}' if others else 'the only one'})"
        if name in layers.get("reach", {}):
            why = f", of which the instance depends on {'×'.join(map(str, layers['reach'][name]))} cells"
        people.print(f"layer [bold]{escape(name)}[/] ({escape(about)}){escape(why)}")
