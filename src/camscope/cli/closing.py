"""What people are told at the end of a run: how much was done, and what to try next, or how to go on."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.markup import escape

from camscope.cli.batches import MOST_LISTED, Done
from camscope.cli.request import Request
from camscope.cli.showing import percent, plain_table
from camscope.cli.sources import Sources


def close(people: Console, done: Done, sources: Sources, request: Request, *, asked: Request) -> None:
    """Say what was done; of a single input explained as it came also what to try next.

    Args:
        people: where they read.
        done: what was done.
        sources: of what.
        request: what was done.
        asked: what was asked for; the folder may be another.
    """
    if done.table is not None and done.results:
        _list(people, done)
    if done.table is not None or done.failed:
        _count(people, done, sources, request)
    if done.stopped:
        people.print("Stopped. Go on with the others:", style="bold")
        resume = " --resume" if done.table is not None and done.table.exists() else ""
        people.print(f"  {request.again()}{resume}", markup=False, soft_wrap=True)
    if len(sources.names) == 1 and done.results and not request.targets:
        _suggest(people, done, sources, asked)


def _list(people: Console, done: Done) -> None:
    """The best class of each input, as far as they are few enough to be read; the others are in the table's file."""
    table = plain_table()
    for result in done.results[:MOST_LISTED]:
        best = result["top"][0]
        mark = "[yellow]untrained[/]" if result.get("untrained") else ""
        table.add_row(escape(result["source"]), percent(best["probability"], ""), escape(best["name"]), mark)
    people.print(table)
    if (more := done.explained - MOST_LISTED) > 0:
        people.print(f"and {more} more: the whole table is {done.table}", markup=False, soft_wrap=True)


def _count(people: Console, done: Done, sources: Sources, request: Request) -> None:
    wrote = f"; the files are in {request.out}" if done.explained else ""
    before = f", {done.skipped} were before" if done.skipped else ""
    count = f"{done.explained} of {done.total} {sources.noun}s"
    people.print(f"{count} explained{before}{wrote}.", markup=False, soft_wrap=True)


def _suggest(people: Console, done: Done, sources: Sources, request: Request) -> None:
    """What to try next, ready to be pasted."""
    top = done.results[0]["top"]
    second = top[min(1, len(top) - 1)]["index"]
    target, methods = request.again(without=["--top"]), request.again(without=["--method", "--save"])
    layers, offered = (
        shlex.join(["camscope", what, *request.model.words()]) for what in ("layers", "methods")
    )
    other = f"--target {second} --target not:{second}   # for and against one class"
    if any(one["box"] for one in done.results[0]["targets"]):
        named = shlex.quote(f"instance:{top[0]['name']}")
        other = f"--target instance:1 --target {named}   # the next instance, and the best of a class"
    people.print("Try next:", style="bold")
    for line in (
        f"{target} {other}",
        f"{methods} --method gradcam,eigencam --save figure,npz",
        *sources.ideas(request.again),
        f"{layers}; {offered}   # what there is to choose from",
    ):
        people.print(f"  {line}", markup=False, soft_wrap=True)
