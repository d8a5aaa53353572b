"""Numbers of a heatmap to ask a run by: how much of it there is, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from camscope.arrays import boxes_of, displayed, mask_of, resize, scaled

AREA = 0.2
"""What is above this share of a heatmap's maximum is its area (Zhou et al., CVPR 2016)."""

RING, CORNER, CENTRE = 0.1, 0.2, 0.5
"""Shares of a side: the width of the outer ring, the side of a corner, the side of the centre."""


@dataclass(frozen=True, eq=False)
class MapNumbers:
    """Numbers of heatmaps, NaN of one that is zero. Sides and places are shares of the model's input.

    Attributes:
        area: the share of the input where the heatmap is at least 20 % of its maximum.
        ring_share: the share of its mass in the outer ring, a tenth of the sides wide; of a uniform map 0.36.
        corner_share: the same in the four corners, a fifth of the sides each; of a uniform map 0.16.
        centre_share: the same in the middle half of both sides; of a uniform map 0.25.
        entropy: of the mass over the cells of the map, between 0 (all in one) and 1 (the same in each).
        centroid_y: the centre of its mass from above, 0 to 1.
        centroid_x: the same from the left.
        box: left, top, right and bottom of its largest part above 20 %.
    """

    area: Float[np.ndarray, " map"]
    ring_share: Float[np.ndarray, " map"]
    corner_share: Float[np.ndarray, " map"]
    centre_share: Float[np.ndarray, " map"]
    entropy: Float[np.ndarray, " map"]
    centroid_y: Float[np.ndarray, " map"]
    centroid_x: Float[np.ndarray, " map"]
    box: Float[np.ndarray, "map 4"]


NUMBERS = tuple(field.name for field in fields(MapNumbers))
"""Their names."""


def numbers_of(
    maps: Float[np.ndarray, "map height width"], input_size: Sequence[int], *, rectified: bool
) -> MapNumbers:
    """The numbers of some maps, as heatmaps at the size of the model's input.

    Args:
        maps: the raw signed maps.
        input_size: of the model's input, in pixels.
        rectified: whether the method's negative values mean evidence against.
    """
    cells = displayed(maps, rectified=rectified)
    height, width = input_size
    heat = np.asarray(scaled(resize(cells[:, None], (height, width)), "map"))[:, 0].astype(np.float64)
    whole = _mass(heat, np.ones(height), np.ones(width))
    with np.errstate(invalid="ignore", divide="ignore"):
        down, across = (_centres(n) for n in (height, width))
        inner = _mass(heat, 1 - _edge(height, RING), 1 - _edge(width, RING))
        corners = _mass(heat, _edge(height, CORNER), _edge(width, CORNER))
        margin = (1 - CENTRE) / 2
        centre = _mass(heat, 1 - _edge(height, margin), 1 - _edge(width, margin))
        lit = whole > 0
        none = np.where(lit, 1.0, np.nan)
        return MapNumbers(
            area=(heat >= AREA).mean(axis=(1, 2)) * none,
            ring_share=1 - inner / whole,
            corner_share=corners / whole,
            centre_share=centre / whole,
            entropy=_entropy(cells) * none,
            centroid_y=_mass(heat, down, np.ones(width)) / whole,
            centroid_x=_mass(heat, np.ones(height), across) / whole,
            box=np.array([_box(one) for one in heat]).reshape(-1, 4),
        )


def _centres(count: int) -> Float[np.ndarray, " pixel"]:
    """The place of each pixel's centre along an axis, from 0 to 1."""
    return (np.arange(count) + 0.5) / count


def _edge(count: int, share: float) -> Float[np.ndarray, " pixel"]:
    """How much of each pixel along an axis lies within a share of it from either end."""
    width = share * count
    inside = np.clip(width - np.arange(count), 0, 1)
    return np.asarray(inside + inside[::-1])


def _mass(
    heat: Float[np.ndarray, "map height width"],
    down: Float[np.ndarray, " height"],
    across: Float[np.ndarray, " width"],
) -> Float[np.ndarray, " map"]:
    """The sum of heatmaps, weighted along both axes."""
    return np.asarray((heat @ across) @ down)


def _entropy(cells: Float[np.ndarray, "map height width"]) -> Float[np.ndarray, " map"]:
    flat = cells.reshape(len(cells), -1).astype(np.float64)
    flat = flat - flat.min(axis=1, keepdims=True)
    shares = flat / flat.sum(axis=1, keepdims=True)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return np.asarray(-(shares * logs).sum(axis=1) / max(np.log(flat.shape[1]), np.finfo(float).tiny))


def _box(heat: Float[np.ndarray, "height width"]) -> list[float]:
    boxes = boxes_of(mask_of(heat, AREA))  # the largest part comes first
    if not boxes:
        return [np.nan] * 4
    height, width = heat.shape
    left, top, right, bottom = boxes[0]
    return [left / width, top / height, right / width, bottom / height]
