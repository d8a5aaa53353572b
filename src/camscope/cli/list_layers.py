"""`camscope layers`: which layers can be explained, and which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camscope.cli.model_options import DEMO, ModelOptions, check_no_size_of_texts, check_size
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.showing import plain_table
from camscope.models.layer import Layer


def layers(
    *,
    model: ModelOptions = DEMO,
    size: int | None = None,
    every: Annotated[bool, Parameter("--all", negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """List the layers that have a spatial grid, and mark the one chosen when none is named.

    Parameters
    ----------
    model
        Which model, and how it is opened; see `camscope.cli.model_options.ModelOptions`. Of an untrained network
        (--weights random) the grids are the same.
    size
        Side of the square input in pixels, if it is not the model's own.
    every
        All layers, also those inside blocks.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    check_size(size)
    with quiet_stdout(as_json):
        explainer = model.open()
    check_no_size_of_texts(size, explainer)
    with quiet_stdout(as_json):
        found = explainer.layers(size=None if size is None else (size, size), every=every)
    facts = found.to_dict()
    if as_json:
        print_json(facts["layers"])
        return
    people = console()
    people.print(_table(found[0], facts["automatic"]))
    people.print(
        f"\n→ is chosen when no layer is named: the deepest whose positions reach the score."
        f"{'' if every else ' Layers inside blocks: --all.'}"
    )


def _table(layers: Sequence[Layer], automatic: str | None) -> Table:
    """The layers for people, the automatic choice marked."""
    table = plain_table("", "layer", "kind", "output", "grid", "reaches score", style="bold")
    _, name, kind, output, *_ = table.columns
    kind.overflow = "ellipsis"
    name.no_wrap = output.no_wrap = True
    for layer in layers:
        chosen = layer.name == automatic
        table.add_row(
            "→" if chosen else "",
            f"[bold green]{escape(layer.name)}[/]" if chosen else escape(layer.name),
            layer.kind,
            "×".join(map(str, layer.of_one)),
            layer.grid.describe(),
            "yes" if layer.reaches else "[red]no[/]",
        )
    return table
