"""How many of the tokens that are no position stand in front of a grid, and how many behind: no shape says.

One token more or less in front moves a map by one position, of which a single layer that sees far, looked at with one
altered patch, tells little. The layers of a forward keep their tokens where they are, so all that came before count;
the first ones, which see least far, tell most.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from camscope.models.grid import Grid


class InFront:
    """Tells grids apart that differ in this alone. One for each forward, to be asked in the order of its outputs."""

    def __init__(self) -> None:
        self._agreements: dict[Grid, float] = {}

    def best(self, alike: Iterable[tuple[Grid, float]]) -> Grid:
        """The grid on which this output and those before it answered most in place.

        Args:
            alike: grids of one output that differ in their tokens in front and behind, and how well each agrees.
        """
        together: dict[Grid, float] = {}
        for grid, agreement in alike:
            any_width = replace(grid, channels=0)
            together[grid] = self._agreements.get(any_width, 0.0) + agreement
            self._agreements[any_width] = together[grid]
        return max(together, key=lambda grid: together[grid])
