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
from camscope.models.grid import MOST_PREFIX_TOKENS, NONE_STILL, Grid, Still
from camscope.models.layer import with_batch_first


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
    """Whether some output of a forward may have tokens that are no position.

    That is so where a few more stand along an axis than a grid has positions; and where any number more are tokens of
    no grid that a layer has along its axes, as an image's among those of a text.

    Args:
        shapes: of the outputs, for one image.
        grids: those that were found.
    """
    found = {with_batch_first(tuple(shape)) for shape in shapes}
    along = [shape[1:] for shape in found if len(shape) == 3]
    positions = {math.prod(grid.space) for grid in grids}
    few = any(0 < count - n <= MOST_PREFIX_TOKENS for pair in along for count in pair for n in positions)
    met = {math.prod(grid.space) for grid in grids if not grid.layout.startswith("tokens")} - {1}
    more = any(tokens not in met and tokens > n for tokens, _ in along for n in met)
    return few or more or any(grid.others for grid in grids)


class StillTokens:
    """Follows through a forward which tokens stay the same. One for each forward, to be asked in its order.

    What a block gets tells it for what it puts out with as many tokens: it may have mixed them at once.
    """

    def __init__(self) -> None:
        self._met: dict[int, tuple[int, ...]] = {}
        """By how many tokens there are the numbers of those that stood still, where some did and some did not."""

    def of(self, rows: Shaped[Array, " ..."]) -> Still:
        """Which tokens of a tensor stay the same; or stood still in the last tensor of as many of which some did.

        Args:
            rows: what a forward met for an input, and for one that is altered everywhere, `2 token channel`; of
                anything else no token is known.
        """
        if rows.ndim != 3 or rows.shape[0] != 2:
            return NONE_STILL
        xp = array_namespace(rows)
        same = rows[0] == rows[1]
        own = [np.flatnonzero(to_numpy(xp.all(same, axis=axis))).tolist() for axis in (1, 0)]
        counts = rows.shape[1:]
        some = [tuple(still) if len(still) < count else () for still, count in zip(own, counts, strict=True)]
        if some[0]:
            self._met[counts[0]] = some[0]
        return Still(*(one or self._met.get(count, ()) for one, count in zip(some, counts, strict=True)))
