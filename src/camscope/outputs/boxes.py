"""Boxes (x0, y0, x1, y1): their areas, and how much two overlap."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import Array


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
