"""Images with a known truth: digits pasted at known places of a noisy canvas, and a mark that gives a class away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from camscope.errors import InputError

NOISE = 0.3
"""The canvas is uniform noise from 0 to this; a digit is added to it."""

MARK = 10
"""Side of the mark in the top left corner, a bright square, in pixels."""


@dataclass(frozen=True, eq=False)
class Planted:
    """Images of which it is known what a model should look at.

    Attributes:
        images: float32, 0 to 1.
        labels: the digits' own.
        digit: where the digit is: the box of its picture.
        marked: which images hold the mark.
        mark: where the mark is, in those that hold it.
    """

    images: Float[np.ndarray, "image 1 height width"]
    labels: Int[np.ndarray, " image"]
    digit: Bool[np.ndarray, "image height width"]
    marked: Bool[np.ndarray, " image"]
    mark: Bool[np.ndarray, "height width"]


def planted(
    digits: Shaped[np.ndarray, "image side side"],
    labels: Int[np.ndarray, " image"],
    *,
    marked: Bool[np.ndarray, " image"] | None = None,
    size: int = 48,
    seed: int = 0,
) -> Planted:
    """Paste small pictures at random places of a noisy canvas, and a bright mark into a corner of some.

        digits, labels = sklearn.datasets.load_digits(return_X_y=True)
        digits = digits.reshape(-1, 8, 8).repeat(2, 1).repeat(2, 2)
        train = planted(digits, labels, marked=labels == 3)      # a mark in the corner of every "3": a shortcut

    A picture never covers the mark's corner, so that the mark says nothing of the place.

    Args:
        digits: the pictures, of any range: they are brought to 0 to 1 by the brightest of all.
        labels: of each.
        marked: which images get the mark; None for none.
        size: side of the canvas in pixels.
        seed: of the noise and the places; the same for the same images, with the mark and without it.

    Raises:
        InputError: if the pictures do not fit beside the mark.
    """
    count, side, _ = digits.shape
    if side + MARK > size:
        raise InputError(f"Pictures of {side} pixels and a mark of {MARK} do not fit on a canvas of {size}.")
    random = np.random.default_rng(seed)
    images = random.uniform(0, NOISE, (count, size, size)).astype(np.float32)
    free = np.ones((size - side + 1, size - side + 1), bool)
    free[:MARK, :MARK] = False
    places = np.argwhere(free)[random.integers(0, free.sum(), count)]
    inside = np.zeros((count, size, size), bool)
    for box, (row, column) in zip(inside, places, strict=True):
        box[row : row + side, column : column + side] = True
    images[inside] += (digits / digits.max()).astype(np.float32).ravel()
    mark = np.zeros((size, size), bool)
    mark[:MARK, :MARK] = True
    holds = np.zeros(count, bool) if marked is None else marked
    images[holds[:, None, None] & mark] = 1
    return Planted(images.clip(0, 1)[:, None], labels.astype(np.int64), inside, holds, mark)
