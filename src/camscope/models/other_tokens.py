"""Which tokens are no position of a grid (class tokens, registers, one at the end of each row): no shape says.

Before a network mixes its tokens, those are the ones that stay the same when the whole input is altered. That tells
them one by one, wherever they stand. Where it tells nothing (a class token that is made of the input), it is seen on
which of the grids a layer answers most in place. The layers of a forward keep their tokens where they are, so the first
that met them tells it for all: one token more or less in front moves a map by one position, of which a layer that sees
far tells little.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Shaped

from camscope.arrays import Array, to_numpy
from camscope.models.grid import MOST_PREFIX_TOKENS, Grid, Still


class OtherTokens:
    """Tells grids apart that differ in these alone. One for each forward, to be asked in the order of its outputs."""

    def __init__(self) -> None:
        self._told: dict[Grid, bool] = {}
        """The grids so far, without their channels, and whether everything but their positions stood still."""

    @property
    def told(self) -> list[Grid]:
        """The grids so far, of which it is known which tokens are no position."""
        return [grid for grid, exact in self._told.items() if exact]

    def told_before(self, grid: Grid) -> bool:
        """Whether an earlier output has told the tokens of this grid, whatever its channels."""
        return replace(grid, channels=0) in self._told

    def best(self, alike: Iterable[tuple[Grid, float]], exact: Collection[Grid] = ()) -> Grid:
        """The grid but for whose positions all stands still; or that an output before told; or the most in place.

        Args:
            alike: grids of one output that differ in their other tokens, and how well each agrees.
            exact: those but for whose positions every token stands still.
        """
        agreements = dict(alike)
        told = [grid for grid in agreements if grid in exact]
        told += [grid for grid in agreements if self.told_before(grid)]
        best = told[0] if told else max(agreements, key=lambda grid: agreements[grid])
        about = replace(best, channels=0)
        self._told[about] = self._told.get(about, False) or best in exact
        return best


def may_have_others(shapes: Iterable[Sequence[int]], grids: Collection[Grid]) -> bool:
    """Whether some output of a forward has tokens that are no position.

    Args:
        shapes: of the outputs.
        grids: those that were found.
    """
    counts = {count for shape in shapes if len(shape) == 3 for count in shape[1:]}
    positions = {math.prod(grid.space) for grid in grids}
    few = any(0 < count - n <= MOST_PREFIX_TOKENS for count in counts for n in positions)
    return few or any(grid.others for grid in grids)


def standing_still(rows: Shaped[Array, "2 ..."]) -> Still:
    """Which tokens of an output stay the same.

    Args:
        rows: what a layer put out for an input, and for one that is altered everywhere.
    """
    if rows.ndim != 3:
        return Still()
    xp = array_namespace(rows)
    same = rows[0] == rows[1]
    along = (np.flatnonzero(to_numpy(xp.all(same, axis=axis))).tolist() for axis in (1, 0))
    return Still(*map(tuple, along))
