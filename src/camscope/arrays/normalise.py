"""From raw signed maps to heatmaps in [0, 1]: the scale is chosen at display and never touches the raw map."""

from __future__ import annotations

import math
from numbers import Real
from typing import Literal, TypeAlias, get_args

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float

from camscope.arrays.ops import Array, relu
from camscope.errors import InputError, nearest

Named = Literal["map", "image", "batch", "signed"]
Scale: TypeAlias = Named | tuple[float, float]
"""How raw values become [0, 1]. `map`: each map fills [0, 1] by itself. `image`: all targets of an image share a scale.
`batch`: all maps of the batch share one. `signed`: symmetric around zero, which becomes 0.5; evidence against lies
below it. `(low, high)`: these fixed values become 0 and 1, so that maps of different calls can be compared."""


def check_scale(scale: Scale) -> None:
    """Refuse anything that is not a scale.

    Raises:
        InputError: naming the valid scales, and the nearest.
    """
    if isinstance(scale, tuple) and len(scale) == 2 and all(isinstance(end, Real) for end in scale):
        fits = 0 < scale[1] - scale[0] < math.inf
    else:
        fits = scale in get_args(Named)
    if not fits:
        raise InputError(
            f"scale={scale!r}: expected one of {', '.join(get_args(Named))}, or (low, high) with low < high."
            f"{nearest(str(scale), get_args(Named))}"
        )


def scaled(
    maps: Float[Array, "batch target *space"], scale: Scale = "map", *, rectify: bool = False
) -> Float[Array, "batch target *space"]:
    """Scale maps to [0, 1]. NaN (no map there) stays NaN; a flat map becomes zeros, never NaN.

    Args:
        maps: raw signed maps, resized or not.
        scale: see `Scale`. `map`, `image` and `batch` use the minimum and maximum of the maps that share a scale.
        rectify: set evidence against to zero first, as the final ReLU of the formulas does.

    Raises:
        InputError: if it is not a scale.
    """
    check_scale(scale)
    xp = array_namespace(maps)
    if rectify and scale != "signed":
        maps = relu(maps)
    if isinstance(scale, tuple):
        return xp.clip((maps - scale[0]) / (scale[1] - scale[0]), 0, 1)
    axes = tuple(range({"map": 2, "image": 1, "batch": 0}.get(scale, 2), maps.ndim))
    low, high = _ends(maps, axes)
    if scale == "signed":
        low, high = -xp.maximum(-low, high), xp.maximum(-low, high)
    extent = high - low
    flat = is_flat(low, high)
    divisor = xp.where(flat, xp.ones_like(extent), extent)
    if isinstance(maps, np.ndarray) and not flat.any():  # at the size of a photo each array more is felt
        stretched = maps - low
        stretched /= divisor
        return np.clip(stretched, 0, 1, out=stretched)
    heat = xp.clip((maps - low) / divisor, 0, 1)
    level = 0.5 if scale == "signed" else 0.0
    return xp.where(flat & ~xp.isnan(maps), xp.full_like(heat, level), heat)


def _ends(
    maps: Float[Array, "batch target *space"], axes: tuple[int, ...]
) -> tuple[Float[Array, " ..."], Float[Array, " ..."]]:
    """The lowest and the highest finite value along some axes, which stay with size 1."""
    if isinstance(maps, np.ndarray):
        low, high = np.fmin.reduce(maps, axes, keepdims=True), np.fmax.reduce(maps, axes, keepdims=True)
        if np.isfinite(low).all() and np.isfinite(high).all():  # NaN was left out, and there is no infinity
            return low, high
    xp = array_namespace(maps)
    finite = xp.isfinite(maps)
    high = xp.max(xp.where(finite, maps, -xp.inf), axis=axes, keepdims=True)
    low = xp.min(xp.where(finite, maps, xp.inf), axis=axes, keepdims=True)
    return low, high


def is_flat(low: Float[Array, "*maps"], high: Float[Array, "*maps"]) -> Bool[Array, "*maps"]:
    """Whether maps are constant up to rounding, judged by their lowest and highest values; NaN counts as flat."""
    xp = array_namespace(high)
    noise = 16 * float(xp.finfo(high.dtype).eps)
    return ~(high - low > noise * xp.maximum(xp.abs(high), xp.abs(low)))
