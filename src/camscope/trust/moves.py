"""The same map at other places: what a map is held against to tell whether its place matters."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

MOST = 999
"""Moves that are tried at most; where there are more, these are drawn."""


@functools.lru_cache(maxsize=8)
def moves(grid: tuple[int, ...], seed: int) -> Int[np.ndarray, "move cell"]:
    """All toroidal shifts of a grid, flipped and turned, without the one that leaves it: `moved = map.ravel()[move]`.

    They keep a map's values and its smoothness, and ask only whether the place matters. Axes change places only where
    they are of one length.

    Args:
        grid: how many cells there are along each axis.
        seed: of the draw, where there are more than `MOST`.
    """
    numbers = np.arange(math.prod(grid)).reshape(grid)
    cells = numbers.size
    shifts = [(i[:, None] + i) % n for i, n in ((np.arange(n), n) for n in grid)]  # shift, place
    found = []
    for turned in _orientations(numbers):
        moved = turned
        for axis, shift in enumerate(shifts):
            moved = moved.take(shift, axis=2 * axis)  # each place becomes two axes: the shift, and the place
        found.append(np.moveaxis(moved, range(0, moved.ndim, 2), range(len(grid))).reshape(-1, cells))
    every = np.unique(np.concatenate(found), axis=0)
    every = every[(every != numbers.ravel()).any(axis=1)]
    if len(every) > MOST:
        every = np.random.default_rng(seed).choice(every, MOST, replace=False, axis=0)
    every.flags.writeable = False
    return every


def _orientations(numbers: np.ndarray) -> Iterator[np.ndarray]:
    axes = range(numbers.ndim)
    for order in itertools.permutations(axes):
        if all(numbers.shape[a] == numbers.shape[b] for a, b in zip(order, axes, strict=True)):
            for flipped in itertools.product((False, True), repeat=numbers.ndim):
                yield np.flip(numbers.transpose(order), tuple(axis for axis in axes if flipped[axis]))
