"""In which order a map has the pixels of an input removed, and the altered copies that result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from camscope.arrays import Array, resize
from camscope.evidence import Variants
from camscope.imputing import Imputer, check_imputer, imputed, pixels_of_cells
from camscope.metrics.answers import Alter
from camscope.metrics.cells_of_maps import grid_of, on_grid


@dataclass(frozen=True)
class Order:
    """The places of an input, from the most relevant to the least; a place is a pixel, or a cell of many.

    Attributes:
        ranks: the rank of the place that each pixel belongs to; 0 is the most relevant one.
        count: how many places there are.
    """

    ranks: Int[np.ndarray, "*size"]
    count: int

    @property
    def reversed(self) -> Order:
        """The same from the least relevant to the most."""
        return Order(self.count - 1 - self.ranks, self.count)

    def first(self, shares: Float[np.ndarray, " n"] | Sequence[float]) -> Bool[np.ndarray, " n *size"]:
        """True at the first places, which are these shares of all, rounded to whole places."""
        counts = np.floor(np.asarray(shares) * self.count + 0.5)
        return np.asarray(self.ranks < counts.reshape(-1, *(1,) * self.ranks.ndim))


def by_pixels(one: Float[np.ndarray, "*space"], size: Sequence[int], seed: int) -> Order:
    """The order of single pixels: the map is resized to the input first, linearly.

    Args:
        one: the map.
        size: of the input.
        seed: of the draw that orders what is equal.
    """
    large = np.asarray(resize(one[None, None], size)[0, 0])
    return Order(_ranks(large, seed), large.size)


def by_cells(one: Float[np.ndarray, "*space"], size: Sequence[int], seed: int) -> Order:
    """The order of the map's own cells, whose pixels go together; of many, neighbours are grouped (`grid_of`).

    Args:
        one: the map.
        size: of the input.
        seed: of the draw that orders what is equal.
    """
    ranks = _ranks(on_grid(one, grid_of(one.shape, size)), seed)
    return Order(pixels_of_cells(ranks[None], size)[0], ranks.size)


def removing(
    x: Shaped[Array, "1 channel *size"],
    imputer: Imputer,
    removed: Callable[[Int[np.ndarray, " chunk"]], Bool[np.ndarray, " chunk *size"]],
) -> Variants:
    """Copies of one input with pixels removed and filled.

    Args:
        x: the input.
        imputer: fills them.
        removed: from the numbers of some copies to what is removed in each.

    Raises:
        InputError: if it is no imputer.
    """
    check_imputer(imputer)
    return lambda some: imputed(imputer, x, removed(some))


def removing_in_order(
    shares: Float[np.ndarray, " copy"],
    imputer: Imputer,
    ordered: Callable[[Float[np.ndarray, "*space"], Sequence[int], int], Order],
    seed: int,
    removed: Callable[[Order, Float[np.ndarray, " n"]], Bool[np.ndarray, " n *size"]],
) -> Alter:
    """What makes, of an input and a map, one copy for each share.

    Args:
        shares: of the places.
        imputer: fills what is removed.
        ordered: `by_pixels` or `by_cells`.
        seed: of the draw that orders what is equal.
        removed: from the map's order and some shares to what is removed in each copy.

    Raises:
        InputError: if it is no imputer.
    """

    def alter(x: Array, one: Float[np.ndarray, "*space"]) -> tuple[int, Variants]:
        order = ordered(one, x.shape[2:], seed)
        return len(shares), removing(x, imputer, lambda some: removed(order, shares[some]))

    return alter


def _ranks(values: Float[np.ndarray, "*space"], seed: int) -> Int[np.ndarray, "*space"]:
    """0 for the largest. What is equal is ordered by a draw: not by where it is, as if its place were evidence."""
    drawn = np.random.default_rng(seed).random(values.size)
    order = np.lexsort((drawn, -values.ravel()))
    ranks = np.empty(values.size, np.int64)
    ranks[order] = np.arange(values.size)
    return ranks.reshape(values.shape)
