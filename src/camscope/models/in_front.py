"""How many of the tokens that are no position stand in front of a grid, and how many behind: no shape says.

One token more or less in front moves a map by one position, of which a layer that sees far tells little. The layers of
a forward keep their tokens where they are, so the first that met them tells it for all: it sees least far.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from camscope.models.grid import Grid


class InFront:
    """Tells grids apart that differ in this alone. One for each forward, to be asked in the order of its outputs."""

    def __init__(self) -> None:
        self._told: set[Grid] = set()

    def best(self, alike: Iterable[tuple[Grid, float]]) -> Grid:
        """The grid that an output before told, or else the one on which this output answers most in place.

        Args:
            alike: grids of one output that differ in their tokens in front and behind, and how well each agrees.
        """
        agreements = dict(alike)
        told = [grid for grid in agreements if replace(grid, channels=0) in self._told]
        best = told[0] if told else max(agreements, key=lambda grid: agreements[grid])
        self._told.add(replace(best, channels=0))
        return best
