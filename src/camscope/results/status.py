"""The status of a map: what to know of it before one looks at it."""

from __future__ import annotations

import enum

import numpy as np
from jaxtyping import Bool, Float

from camscope.arrays import is_flat


class Status(enum.StrEnum):
    """What to know of a map before one looks at it.

    Example:
        >>> camscope.explain(model, x).status["gradcam", "layer4"][0][0]
        <Status.OK: 'ok'>
    """

    OK = "ok"
    FLAT = "flat"
    """The same value everywhere: the heatmap is zero."""
    ALL_NEGATIVE = "all-negative"
    """No evidence for the target anywhere, only against it: the heatmap is zero."""
    NO_GRADIENT = "no-gradient"
    """The score does not depend on this layer for this image: the map is zero."""
    NON_FINITE = "non-finite"
    """The raw map holds NaN or infinity (the gradient overflowed): the heatmap is zero there."""

    @property
    def words(self) -> str:
        """The status in words for people; empty if all is well."""
        return _WORDS[self]


_WORDS = {
    Status.OK: "",
    Status.FLAT: "flat: the same value everywhere",
    Status.ALL_NEGATIVE: "all-negative: no evidence for it here",
    Status.NO_GRADIENT: "no-gradient: the score does not depend on this layer",
    Status.NON_FINITE: "non-finite: the map holds NaN or infinity",
}


def statuses_of(
    maps: Float[np.ndarray, " target *space"], gradient_free: Bool[np.ndarray, " target"], *, rectified: bool
) -> tuple[Status, ...]:
    """The status of each map of one image.

    Args:
        maps: the raw signed maps.
        gradient_free: which maps are zero because the score does not depend on the layer.
        rectified: whether the method's negative values mean evidence against.
    """
    finite = np.isfinite(maps.reshape(len(maps), -1)).all(axis=-1)
    with np.errstate(invalid="ignore"):
        low, high = ends_of(maps).T
        flat = is_flat(low, high)

    def one(t: int) -> Status:
        if not finite[t]:
            return Status.NON_FINITE
        if gradient_free[t]:
            return Status.NO_GRADIENT
        if flat[t]:
            return Status.FLAT
        return Status.ALL_NEGATIVE if rectified and high[t] <= 0 else Status.OK

    return tuple(one(t) for t in range(len(maps)))


def ends_of(maps: Float[np.ndarray, " target *space"]) -> Float[np.ndarray, "target 2"]:
    """The lowest and the highest value of each map."""
    flat = maps.reshape(len(maps), -1)
    return np.stack([flat.min(axis=-1), flat.max(axis=-1)], axis=-1)
