"""`camscope layers`: which layers can be explained, and which one is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camscope.cli.output import console, print_json
from camscope.engine.explainer import Explainer
from camscope.errors import InputError


def layers(
    *,
    model: str = "demo",
    weights: str | None = None,
    size: int | None = None,
    every: Annotated[bool, Parameter("--all", negative="")] = False,
    trust_pickle: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """List the layers that have a spatial grid, and mark the one chosen when none is named.

    Parameters
    ----------
    model
        demo, timm:NAME, torchvision:NAME, hf:NAME-OR-FOLDER or FILE.py:FACTORY.
    weights
        A weights file, or `random` for an untrained network (the grids are the same).
    size
        Side of the square input in pixels, if it is not the model's own.
    every
        All layers, also those inside blocks.
    trust_pickle
        Read a checkpoint that can run code. Only for files you would run as a program.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    explainer = Explainer(model, weights=Path(weights) if weights else None, trust_pickle=trust_pickle)
    inputs = None
    if size is not None:
        import torch

        if size < 1:
            raise InputError(f"--size {size}: expected a number of pixels, at least 1.")
        channels = len(explainer.preprocessing.mean) if explainer.preprocessing else 3
        inputs = torch.randn((1, channels, size, size), generator=torch.Generator().manual_seed(0))
    shown, chosen = explainer.layers(inputs, every=every)
    if as_json:
        print_json(
            [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "shape": list(layer.shape),
                    "grid": list(layer.grid.space),
                    "channels": layer.grid.channels,
                    "layout": layer.grid.layout,
                    "prefix_tokens": layer.grid.prefix,
                    "calls": layer.calls,
                    "reaches_score": layer.reaches,
                    "automatic": chosen is not None and layer.name == chosen.name,
                }
                for layer in shown
            ]
        )
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "layer", "kind", "output", "grid", "reaches score"):
        table.add_column(heading, header_style="bold", overflow="ellipsis" if heading == "kind" else "fold")
    table.columns[1].no_wrap = table.columns[3].no_wrap = True
    for layer in shown:
        automatic = chosen is not None and layer.name == chosen.name
        table.add_row(
            "→" if automatic else "",
            f"[bold green]{escape(layer.name)}[/]" if automatic else escape(layer.name),
            layer.kind,
            "×".join(map(str, layer.shape[1:])),
            layer.grid.describe(),
            "yes" if layer.reaches else "[red]no[/]",
        )
    people = console()
    people.print(table)
    people.print(
        f"\n→ is chosen when no layer is named: the deepest whose positions reach the score."
        f"{'' if every else ' Layers inside blocks: --all.'}"
    )
