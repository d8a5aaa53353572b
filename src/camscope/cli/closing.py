"""What people are told at the end of a run: how much was done, and what to try next."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.markup import escape

from camscope.cli.batches import Done
from camscope.cli.request import Request
from camscope.cli.showing import FEW, percent, plain_table
from camscope.cli.sources import Sources

_MOST_LINES = 20


def close(people: Console, done: Done, sources: Sources, request: Request) -> None:
    """Say what was done; of a single input explained as it came also what to try next.

    Args:
        people: where they read.
        done: what was done.
        sources: of what.
        request: what was asked for.
    """
    many = len(sources.names) > FEW
    if many:
        _list(people, done)
    if many or done.failed:
        wrote = f"; the files are in {request.out}" if done.results else ""
        count = f"{len(done.results)} of {len(sources.names)} {sources.noun}s"
        people.print(f"{count} explained{wrote}.", markup=False)
    if len(sources.names) == 1 and done.results and not request.targets:
        _suggest(people, done, sources, request)


def _list(people: Console, done: Done) -> None:
    """The best class of each input."""
    table = plain_table()
    for result in done.results[:_MOST_LINES]:
        best = result["top"][0]
        mark = "[yellow]untrained[/]" if result.get("untrained") else ""
        table.add_row(escape(result["source"]), percent(best["probability"], ""), escape(best["name"]), mark)
    people.print(table)
    if len(done.results) > _MOST_LINES:
        people.print(f"… and {len(done.results) - _MOST_LINES} more")


def _suggest(people: Console, done: Done, sources: Sources, request: Request) -> None:
    """What to try next, ready to be pasted."""
    (name,), top = sources.names, done.results[0]["top"]
    word = f"./{name}" if name.startswith("-") else name
    again = shlex.join(["camscope", "explain", word, *request.model.words()])
    second = top[min(1, len(top) - 1)]["index"]
    other = f"--target {second} --target not:{second}   # for and against one class"
    if any(target["box"] for target in done.results[0]["targets"]):
        named = shlex.quote(f"instance:{top[0]['name']}")
        other = f"--target instance:1 --target {named}   # the next instance, and the best of a class"
    people.print("Try next:", style="bold")
    for line in (
        f"{again} {other}",
        f"{again} --method gradcam,eigencam --save figure,npz",
        *sources.ideas(again),
    ):
        people.print(f"  {line}", markup=False, soft_wrap=True)
