"""Cells of a grid, removed as a whole: the pixels they cover, and ROAD's system solved cell by cell.

What is in a removed cell depends on the pixels around it alone, by a matrix that is the same for all cells of one size.
So it is factorised once for all of them; of each mask only those pixels are unknowns that lie at the side of another
removed cell. That is block elimination: the same numbers, in a tenth of the time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from camscope.imputing.balance import balance, neighbour_weights

_MOST = 2**21
"""Numbers in the matrix of a cell, at most: of larger cells it would take more memory than it saves time."""


def pixels_of_cells(
    cells: Shaped[np.ndarray, " n *grid"], size: Sequence[int]
) -> Shaped[np.ndarray, " n *size"]:
    """What is said of cells, said of pixels: each pixel is its nearest cell's.

    Args:
        cells: something of each cell.
        size: of the input.
    """
    for axis, pixels in enumerate(size, start=1):
        cells = cells.take(nearest_cells(cells.shape[axis], pixels), axis=axis)
    return cells


def nearest_cells(cells: int, pixels: int) -> Int[np.ndarray, " pixel"]:
    """The number of the cell that each pixel along an axis belongs to."""
    return (2 * np.arange(pixels) + 1) * cells // (2 * pixels)


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell of a grid on an input.

    Attributes:
        inside: the numbers of its pixels.
        around: the numbers of the pixels around it that are neighbours of these.
        says: what each pixel inside is, by those around it, if all inside are removed.
    """

    inside: Int[np.ndarray, " pixel"]
    around: Int[np.ndarray, " other"]
    says: Float[np.ndarray, "pixel other"]


@dataclass(frozen=True, eq=False)
class CellGrid:
    """The cells of a grid on inputs of a size.

    Attributes:
        cells: row by row.
        owner: the number of the cell that each pixel is in.
        place: the place of each pixel among those of its cell.
    """

    cells: tuple[Cell, ...]
    owner: Int[np.ndarray, " pixel"]
    place: Int[np.ndarray, " pixel"]

    def solved(
        self, x: Float[np.ndarray, " channel *space"], removed: Bool[np.ndarray, " *grid"]
    ) -> Float[np.ndarray, " channel *space"]:
        """One input with the pixels of removed cells in balance with their neighbours, without noise.

        Args:
            x: the input.
            removed: True where a cell is removed, not everywhere.
        """
        from scipy import ndimage

        flat = x.reshape(len(x), -1).copy()
        gone = removed.ravel()[self.owner]
        touching, _ = ndimage.label(removed, structure=np.ones((3,) * removed.ndim))
        numbers = np.flatnonzero(touching)
        groups = touching.ravel()[numbers]
        for group in range(1, int(groups.max(initial=0)) + 1):
            self._solve(flat, gone, numbers[groups == group])
        return flat.reshape(x.shape)

    def _solve(
        self, flat: Float[np.ndarray, "channel pixel"], gone: Bool[np.ndarray, " pixel"], group: np.ndarray
    ) -> None:
        """Fill cells that touch one another; no other removed cell touches them."""
        cells = [self.cells[number] for number in group]
        if len(cells) > 1:
            shared = np.unique(np.concatenate([cell.around[gone[cell.around]] for cell in cells]))
            matrix = np.eye(len(shared), dtype=flat.dtype)
            known = np.empty((len(shared), len(flat)), flat.dtype)
            for number, cell in zip(group, cells, strict=True):
                rows = np.flatnonzero(self.owner[shared] == number)
                says, unknown = cell.says[self.place[shared[rows]]], gone[cell.around]
                columns = np.searchsorted(shared, cell.around[unknown])
                matrix[rows[:, None], columns] -= says[:, unknown]
                known[rows] = says[:, ~unknown] @ flat[:, cell.around[~unknown]].T
            flat[:, shared] = np.linalg.solve(matrix, known).T
        for cell in cells:
            flat[:, cell.inside] = flat[:, cell.around] @ cell.says.T


@functools.lru_cache(maxsize=4)
def cell_grid(grid: tuple[int, ...], size: tuple[int, ...], dtype: str = "float64") -> CellGrid | None:
    """The cells of a grid; None if they are so large that it does not pay to know what is around them.

    Args:
        grid: how many cells there are along each axis, not more than pixels.
        size: of the input.
        dtype: the precision in which it is solved.
    """
    nearest = [nearest_cells(cells, pixels) for cells, pixels in zip(grid, size, strict=True)]
    edges = [np.searchsorted(axis, np.arange(cells + 1)) for axis, cells in zip(nearest, grid, strict=True)]
    largest = [int(np.diff(edge).max()) for edge in edges]
    if math.prod(largest) * (math.prod(n + 2 for n in largest) - math.prod(largest)) > _MOST:
        return None
    pixels = np.arange(math.prod(size)).reshape(size)
    owner, place = np.empty(pixels.size, np.int64), np.empty(pixels.size, np.int64)
    cells = []
    for number, where in enumerate(np.ndindex(grid)):
        starts = [int(edge[at]) for edge, at in zip(edges, where, strict=True)]
        stops = [int(edge[at + 1]) for edge, at in zip(edges, where, strict=True)]
        inside = pixels[tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))].ravel()
        before = tuple(int(a > 0) for a in starts)
        behind = tuple(int(b < n) for b, n in zip(stops, size, strict=True))
        wide = pixels[
            tuple(slice(a - i, b + j) for a, b, i, j in zip(starts, stops, before, behind, strict=True))
        ].ravel()
        sides = tuple(b - a for a, b in zip(starts, stops, strict=True))
        cells.append(
            Cell(inside, wide[np.isin(wide, inside, invert=True)], _says(sides, before, behind, dtype))
        )
        owner[inside], place[inside] = number, np.arange(inside.size)
    return CellGrid(tuple(cells), owner, place)


@functools.lru_cache(maxsize=32)
def _says(
    sides: tuple[int, ...], before: tuple[int, ...], behind: tuple[int, ...], dtype: str
) -> Float[np.ndarray, "pixel other"]:
    """What the pixels of a removed cell are, by those around it.

    Args:
        sides: of the cell, in pixels.
        before: 1 for each axis along which there are pixels before it, 0 at the edge of the input.
        behind: likewise behind it.
        dtype: the precision.
    """
    from scipy.sparse.linalg import splu

    space = tuple(i + n + j for n, i, j in zip(sides, before, behind, strict=True))
    within = np.zeros(space, bool)
    within[tuple(slice(i, i + n) for n, i in zip(sides, before, strict=True))] = True
    inside, around = np.flatnonzero(within), np.flatnonzero(~within)
    factors = splu(balance(space)[inside][:, inside].tocsc())
    found: np.ndarray = factors.solve(neighbour_weights(space)[inside][:, around].toarray())
    return found.astype(dtype)
