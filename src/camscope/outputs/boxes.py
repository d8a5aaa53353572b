"""Boxes (x0, y0, x1, y1): their areas, and how much two overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array


@dataclass(frozen=True, eq=False)
class Frames:
    """Where the photo of each image lies in the model's input: boxes are written in pixels of the photo.

    Attributes:
        scale: pixels of the input per pixel of the photo, along x and y.
        offset: where the photo's left and upper edge lie in the input, in its pixels.
        sizes: (width, height) of each photo.
    """

    scale: Float[np.ndarray, "batch 2"]
    offset: Float[np.ndarray, "batch 2"]
    sizes: Int[np.ndarray, "batch 2"]

    def images(self, index: Int[np.ndarray, " image"] | slice) -> Frames:
        """Those of some images only."""
        return Frames(self.scale[index], self.offset[index], self.sizes[index])

    def on_input(self, image: int, box: Sequence[float]) -> tuple[float, ...]:
        """A box on an image's photo, in pixels of the input."""
        corners = np.asarray(box, dtype=float).reshape(2, 2) * self.scale[image] + self.offset[image]
        return tuple(corners.ravel().tolist())

    def on_photo(self, image: int, box: Sequence[float]) -> tuple[float, ...]:
        """A box on the input, in pixels of an image's photo and cut off where it ends."""
        corners = (np.asarray(box, dtype=float).reshape(2, 2) - self.offset[image]) / self.scale[image]
        return tuple(np.clip(corners, 0, self.sizes[image]).ravel().tolist())


def sides(size: tuple[int, int]) -> Float[np.ndarray, " 4"]:
    """(width, height, width, height) of an input of `(height, width)`: turns boxes in shares of it into pixels."""
    return np.asarray([size[1], size[0], size[1], size[0]], dtype=np.float64)


def areas(boxes: Float[Array, "*others 4"]) -> Float[Array, "*others"]:
    """The area of each box; 0 for a box that ends before it starts."""
    xp = array_namespace(boxes)
    sides = xp.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    return sides[..., 0] * sides[..., 1]


def overlaps(boxes: Float[Array, "*others 4"], box: Float[Array, " 4"]) -> Float[Array, "*others"]:
    """Intersection over union of each box with one; 0 where both have no area."""
    xp = array_namespace(boxes)
    low, high = xp.maximum(boxes[..., :2], box[:2]), xp.minimum(boxes[..., 2:], box[2:])
    sides = xp.clip(high - low, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    union = areas(boxes) + areas(box) - shared
    return xp.where(
        union > 0, shared / xp.where(union > 0, union, xp.ones_like(union)), xp.zeros_like(shared)
    )
