"""ROAD's imputation: a removed pixel is the weighted mean of its neighbours, removed ones too, with a little noise."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, from_numpy, to_numpy
from camscope.errors import InputError
from camscope.imputing.imputer import check_removed, put

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
        masks, values = to_numpy(removed), np.asarray(to_numpy(x), np.float64)
        if masks.all(axis=tuple(range(1, masks.ndim))).any():
            raise InputError(
                "A mask removes every pixel, and neighbours have nothing to tell then. Leave one, or use Mean()."
            )
        filling = np.stack(
            [solved(values[number if len(values) > 1 else 0], mask) for number, mask in enumerate(masks)]
        )
        if self.noise:
            drawn = np.random.default_rng(self.seed).standard_normal(values.shape[1:])
            filling = filling + self.noise * drawn
        return put(from_numpy(filling, like=x), x, masks)


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
        matrix = _balance(removed.shape)[gone][:, gone].tocsc()
        # symmetric and diagonally dominant: no pivoting is needed; and the order is made for it already
        factors = splu(matrix, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        flat[:, gone] = factors.solve(_weights(removed.shape)[gone] @ flat.T).T
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


@functools.lru_cache(maxsize=4)
def _weights(space: tuple[int, ...]) -> Any:
    """How much each pixel's neighbours weigh: a sparse matrix, pixel × pixel."""
    from scipy import sparse

    numbers = np.arange(np.prod(space)).reshape(space)
    rows, columns, weights = [], [], []
    for offset in itertools.product((-1, 0, 1), repeat=len(space)):
        if any(offset):
            here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, space, strict=True))
            there = tuple(slice(max(0, o), n + min(0, o)) for o, n in zip(offset, space, strict=True))
            rows.append(numbers[here].ravel())
            columns.append(numbers[there].ravel())
            weights.append(np.full(rows[-1].size, 0.5 ** (np.count_nonzero(offset) - 1)))
    placed = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(placed, shape=(numbers.size, numbers.size))


@functools.lru_cache(maxsize=4)
def _balance(space: tuple[int, ...]) -> Any:
    """Sum of a pixel's weights times itself, less its neighbours by their weights: zero where it is their mean."""
    from scipy import sparse

    weights = _weights(space)
    return sparse.csr_matrix(sparse.diags(np.asarray(weights.sum(axis=1)).ravel()) - weights)
