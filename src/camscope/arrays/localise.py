"""Masks and boxes from a heatmap: thresholding and connected components."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from camscope.errors import InputError

Components = Literal["largest", "all"]
Box: TypeAlias = tuple[int, ...]
"""Starts, then ends (exclusive), the last axis first: (x0, y0, x1, y1) on a picture, (start, end) in a signal."""


def mask_of(
    heatmap: Float[np.ndarray, "*space"], threshold: float = 0.2, components: Components = "all"
) -> Bool[np.ndarray, "*space"]:
    """Where the heatmap is at least `threshold` of its maximum (Zhou et al., CVPR 2016: 20 %).

    Args:
        heatmap: in [0, 1]; NaN counts as outside.
        threshold: in (0, 1], relative to the map's own maximum.
        components: keep all of it, or only the largest connected component (neighbours share a corner).

    Raises:
        InputError: if the threshold is outside (0, 1], or `components` is neither word.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold={threshold}: expected a share of the maximum, above 0 and up to 1.")
    if components not in ("largest", "all"):
        raise InputError(f"components={components!r}: expected 'largest' or 'all'.")
    values = np.nan_to_num(heatmap, nan=0.0)
    peak = values.max(initial=0.0)
    mask = values >= threshold * peak if peak > 0 else np.zeros(values.shape, dtype=bool)
    if components == "all" or not mask.any():
        return mask
    labels = _labelled(mask)
    return np.asarray(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))


def boxes_of(mask: Bool[np.ndarray, "*space"]) -> list[Box]:
    """The bounding box of each connected component, largest component first."""
    from scipy import ndimage

    if not mask.any():
        return []
    labels = _labelled(mask)
    sizes = np.bincount(labels.ravel())[1:]
    slices = ndimage.find_objects(labels)
    order = np.argsort(-sizes, kind="stable")
    return [(*(s.start for s in slices[i][::-1]), *(s.stop for s in slices[i][::-1])) for i in order]


def _labelled(mask: Bool[np.ndarray, "*space"]) -> Int[np.ndarray, "*space"]:
    from scipy import ndimage

    labels, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return np.asarray(labels)
