"""`camscope methods`: what there is, where it comes from, what it costs, and what to use it for."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.padding import Padding

from camscope.cli.output import console, print_json
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
    people = console()
    for m in found:
        needs = ", ".join(sorted(need.value for need in m.needs))
        people.print(f"[bold]{m.name}[/]   {escape(m.formula)}")
        people.print(Padding(escape(m.advice), (0, 0, 0, 4)))
        people.print(
            Padding(f"[dim]{escape(m.paper or 'baseline')}. Needs {needs}: {m.cost}.[/]", (0, 0, 1, 4))
        )
    people.print("The last ReLU of a formula is applied in heatmaps; raw maps stay signed.")
