"""One map of several layers' maps.

Fusions work on heatmaps (rectified), finest resolution, shallowest layer first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array, from_numpy, relu
from camscope.composition.expressions import Fuse
from camscope.resample import resize
from camscope.scaling import scaled


def fused(maps: Sequence[Float[Array, "batch target *_"]], fuse: Fuse) -> Float[Array, "batch target *space"]:
    """Fuse the maps of several layers.

    - `max`: LayerCAM (Jiang et al., IEEE TIP 2021, eq. 9): the shallower layers scaled by tanh(γ · M / max M), the
      deepest by its maximum, then the largest at each position.
    - `product`: RefineCAM (Domeniconi et al. 2026): the product of the maps, each scaled to [0, 1].
    - `mean`: the mean of the maps, each scaled to [0, 1].
    - `cascade`: Poly-CAM (Englebert et al., ICPR 2022): from the deepest layer outwards,
      P_l = LNorm(L_l) ⊙ up(P_{l+1}), LNorm(L) = L / up(down(L)).

    Args:
        maps: of the layers in the order they run, each at its own resolution.
        fuse: how.
    """
    maps = [relu(m) for m in maps]
    finest = max((m.shape[2:] for m in maps), key=math.prod)
    if fuse.how == "cascade":
        return _cascade(maps)
    xp = array_namespace(maps[0])
    if fuse.how == "max":
        scaled_maps = [_over_maximum(m) for m in maps]
        shallow = [resize(xp.tanh(fuse.gamma * m), finest) for m in scaled_maps[:-1]]
        return functools.reduce(xp.maximum, [*shallow, resize(scaled_maps[-1], finest)])
    unit = [resize(scaled(m), finest) for m in maps]
    if fuse.how == "product":
        return functools.reduce(xp.multiply, unit)
    return functools.reduce(xp.add, unit) / len(unit)


def at_level(
    maps: Sequence[Float[Array, "batch target *_"]], levels: Int[np.ndarray, "batch target"] | None
) -> Float[Array, "batch target *space"]:
    """The map of the level that each target comes from, signed as it is, at the finest level's resolution.

    ODAM (Zhao & Chan, ICLR 2023, arXiv:2304.06354) looks there. The maps of the others are zero, or, where one level is
    made from another, of what leads to it. A target that comes from no one level (of a function of yours) gets the
    sum of all.

    Args:
        maps: of the levels; one may stand for several.
        levels: the number of each target's level, −1 for none.
    """
    finest = max((m.shape[2:] for m in maps), key=math.prod)
    total = None
    for number, m in enumerate(maps):
        first = all(m is not earlier for earlier in maps[:number])
        own = np.full(m.shape[:2], first) if levels is None else (levels == number) | ((levels < 0) & first)
        if total is None or own.any():
            share = from_numpy(own.astype(np.float64), like=m)
            part = resize(m, finest) * share[(..., *(None,) * len(finest))]
            total = part if total is None else total + part
    assert total is not None
    return total


def _over_maximum(m: Float[Array, "batch target *space"]) -> Float[Array, "batch target *space"]:
    """M / max M; zeros stay zeros."""
    xp = array_namespace(m)
    high = xp.max(m, axis=tuple(range(2, m.ndim)), keepdims=True)
    return m / xp.where(high > 0, high, xp.ones_like(high))


def _cascade(maps: Sequence[Float[Array, "batch target *_"]]) -> Float[Array, "batch target *space"]:
    result = maps[-1]
    for m in reversed(maps[:-1]):
        xp = array_namespace(m)
        coarse = resize(resize(m, result.shape[2:]), m.shape[2:])
        # a detail that the coarse map has lost altogether has no measure there; nothing is made of it
        detail = m / xp.where(coarse > 0, coarse, xp.inf)
        result = detail * resize(result, m.shape[2:])
    return result
