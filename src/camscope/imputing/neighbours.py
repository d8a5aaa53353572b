"""ROAD's imputation: a removed pixel is the weighted mean of its neighbours, removed ones too, with a little noise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, from_numpy, to_numpy
from camscope.errors import InputError
from camscope.imputing.balance import balance, neighbour_weights
from camscope.imputing.imputer import check_removed, put
from camscope.imputing.removed_cells import cell_grid, pixels_of_cells

_UNCUT = 3
"""Pixels along each axis of a block that is not cut any further."""


@dataclass(frozen=True)
class Neighbours:
    """Noisy linear imputation (ROAD, Rong et al., ICML 2022, arXiv:2202.00449, section 4).

    Each removed pixel is the mean of the neighbours that lie inside the input, those across a side weighted 1/6 and
    those across a corner 1/12 (along one axis ½ each; in a volume half as much for every further axis that is
    crossed). The removed pixels are the unknowns of one sparse linear system. Its matrix depends on the mask alone: it
    is factorised once for all channels. The noise takes away what smoothness would tell of the mask's shape.

    Attributes:
        noise: the standard deviation of the noise, in the units of the model's input; the paper takes 0.01.
        seed: of the noise; every input and every mask gets the same draw at a pixel.
    """

    noise: float = 0.01
    seed: int = 0

    def __call__(
        self, x: Float[Array, "batch_or_1 channel *space"], removed: Bool[np.ndarray, " batch *space"]
    ) -> Float[Array, "batch channel *space"]:
        """See `camscope.imputing.Imputer`.

        Raises:
            InputError: also if a mask leaves no pixel, which tells nothing to its neighbours.
        """
        check_removed(x, removed)
        return self._filled(x, to_numpy(removed), solved, to_numpy(removed))

    def cells(
        self, x: Float[Array, "batch_or_1 channel *space"], removed: Bool[np.ndarray, " batch *grid"]
    ) -> Float[Array, "batch channel *space"]:
        """The same where whole cells of a grid are removed, whose pixels are those nearest to them: much faster.

        Args:
            x: the inputs; or one input for all masks.
            removed: True where a cell is removed.

        Raises:
            InputError: as a call does.
        """
        pixels = pixels_of_cells(removed, x.shape[2:])
        check_removed(x, pixels)
        layout = cell_grid(removed.shape[1:], tuple(x.shape[2:]), _precision(x))
        if layout is None:
            return self._filled(x, pixels, solved, pixels)
        return self._filled(x, pixels, layout.solved, removed)

    def _filled(
        self,
        x: Float[Array, "batch_or_1 channel *space"],
        pixels: Bool[np.ndarray, " batch *space"],
        solve: Callable[[np.ndarray, np.ndarray], np.ndarray],
        removed: Bool[np.ndarray, " batch *places"],
    ) -> Float[Array, "batch channel *space"]:
        """What is solved for, with noise, in place of the pixels that are removed."""
        values = np.asarray(to_numpy(x), _precision(x))
        if removed.all(axis=tuple(range(1, removed.ndim))).any():
            raise InputError(
                "A mask removes every pixel, and neighbours have nothing to tell then. Leave one, or use Mean()."
            )
        drawn = self.noise * _noise(self.seed, values.shape[1:], values.dtype.name)
        found = np.empty((len(removed), *values.shape[1:]), values.dtype)
        for number, (mask, gone) in enumerate(zip(removed, pixels, strict=True)):
            found[number] = solve(values[number if len(values) > 1 else 0], mask)
            np.add(found[number], drawn, out=found[number], where=gone)
        whole = from_numpy(found, like=x)
        # in its own precision what is kept is as it was
        return whole if str(x.dtype).endswith(_precision(x)) else put(whole, x, pixels)


def _precision(x: Array) -> str:
    """The precision in which inputs are filled: their own, if that is single, else double."""
    return "float32" if str(x.dtype).endswith("float32") else "float64"


def solved(
    x: Float[np.ndarray, " channel *space"], removed: Bool[np.ndarray, "*space"]
) -> Float[np.ndarray, " channel *space"]:
    """One input with its removed pixels in balance with their neighbours, without noise.

    Args:
        x: the input.
        removed: True where a pixel is removed, not everywhere.
    """
    from scipy.sparse.linalg import splu

    order = _dissected(removed.shape)
    gone = order[removed.ravel()[order]]
    flat = x.reshape(len(x), -1).copy()
    if gone.size:
        flat[:, gone] = 0
        matrix = balance(removed.shape)[gone][:, gone].tocsc()
        # symmetric and diagonally dominant: no pivoting is needed; and the order is made for it already
        factors = splu(matrix, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        flat[:, gone] = factors.solve(neighbour_weights(removed.shape)[gone] @ flat.T.astype(np.float64)).T
    return flat.reshape(x.shape)


@functools.lru_cache(maxsize=4)
def _dissected(space: tuple[int, ...]) -> Int[np.ndarray, " pixel"]:
    """The pixels in the order of a nested dissection (George, SIAM J. Numer. Anal. 1973).

    A line of pixels cuts the input in two and comes last, each half in front of it likewise: whatever is removed, few
    entries are filled in. An order found for every mask anew takes longer than the factors themselves.
    """
    numbers = np.arange(np.prod(space)).reshape(space)
    parts: list[np.ndarray] = []

    def dissect(block: np.ndarray) -> None:
        if max(block.shape) <= _UNCUT:
            parts.append(block.ravel())
            return
        along = int(np.argmax(block.shape))
        middle = block.shape[along] // 2
        before, line, after = np.split(block, [middle, middle + 1], axis=along)
        dissect(before)
        dissect(after)
        parts.append(line.ravel())

    dissect(numbers)
    return np.concatenate(parts)


@functools.lru_cache(maxsize=2)
def _noise(seed: int, shape: tuple[int, ...], dtype: str) -> Float[np.ndarray, " channel *space"]:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)
