"""`camscope methods`: what there is, where it comes from, what it costs, and what to use it for."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from camscope.cli.output import print_json
from camscope.methods import list_methods


def methods(*, as_json: Annotated[bool, Parameter("--json", negative="")] = False) -> None:
    """List the methods with paper, needs, cost and one honest line of advice.

    Parameters
    ----------
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    found = list_methods()
    if as_json:
        print_json(
            [
                {
                    "name": m.name,
                    "paper": m.paper,
                    "formula": m.formula,
                    "needs": sorted(need.value for need in m.needs),
                    "cost": m.cost,
                    "class_specific": m.class_specific,
                    "advice": m.advice,
                }
                for m in found
            ]
        )
        return
    table = Table(box=None, pad_edge=False, show_lines=False)
    for heading in ("method", "what it is, what to use it for", "needs", "cost"):
        table.add_column(heading, header_style="bold", overflow="fold", ratio=None if heading == "method" else 1)
    table.columns[0].no_wrap = True
    table.columns[1].ratio = 4
    for m in found:
        about = f"{escape(m.formula)}\n{escape(m.advice)}\n[dim]{escape(m.paper or 'a baseline')}[/]\n"
        table.add_row(f"[bold]{m.name}[/]", about, ", ".join(sorted(n.value for n in m.needs)), m.cost)
    Console().print(table)
