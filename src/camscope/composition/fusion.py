"""Layer fusion: compositions that make one map from the maps of several layers.

`Fuse` works on rectified maps, from the shallowest layer to the deepest, and gives a map at the finest resolution.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array, from_numpy, relu, resize, scaled
from camscope.composition.expressions import Composition, Expression, LayerFusion, composition
from camscope.errors import MethodError
from camscope.evidence import Need
from camscope.methods.parameters import NonNegative

Fusion = Literal["max", "product", "mean", "cascade"]


@composition
@dataclass(frozen=True)
class Fuse(LayerFusion):
    """One map from the maps of several layers. See `fuse_maps`.

    Attributes:
        how: `max` (LayerCAM, eq. 9), `product` (RefineCAM), `mean`, or `cascade` (Poly-CAM).
        gamma: γ of the tanh that scales the shallower layers for `max`.

    Example:
        >>> e = camscope.explain(model, x, methods=camscope.Fuse("layercam", how="mean"))
        >>> e.methods
        ('fuse(layercam, how=mean)',)
    """

    how: Fusion = "max"
    gamma: NonNegative = 2.0
    word: ClassVar[str] = "fuse"

    @property
    def rectified(self) -> bool:
        """False: fused maps come from rectified maps, so they have no negative values."""
        return False

    def fused(
        self,
        maps: Sequence[Float[Array, "batch target *_"]],
        fpn_levels: Int[np.ndarray, "batch target"] | None,
    ) -> Float[Array, "batch target *space"]:
        """See `fuse_maps`."""
        return fuse_maps(maps, self.how, self.gamma)

    def check(self) -> None:
        """Refuse a method whose map is of the whole model or at the input's size, and a fusion inside a fusion."""
        m = self.method
        if m.scope == "model":
            raise MethodError(
                f"{self.name}: {m.name} is one map of the whole model; there is nothing to fuse."
            )
        if fuses(self.inner):
            raise MethodError(f"{self.name}: one fusion inside another; fuse once.")
        if m.at_input_size:
            raise MethodError(f"{self.name}: {m.name} is at the input's size already; fuse gradcam instead.")


@dataclass(frozen=True)
class AtFpnLevel(LayerFusion):
    """The inner method at the FPN level that each target of a detector comes from.

    The engine puts it around a method where no layer is named; see `at_fpn_level`.
    """

    word: ClassVar[str] = "level"
    at: ClassVar[Literal["stages", "fpn levels", "backbone"]] = "fpn levels"

    def fused(
        self,
        maps: Sequence[Float[Array, "batch target *_"]],
        fpn_levels: Int[np.ndarray, "batch target"] | None,
    ) -> Float[Array, "batch target *space"]:
        """See `at_fpn_level`."""
        return at_fpn_level(maps, fpn_levels)


@dataclass(frozen=True)
class AtBackbone(LayerFusion):
    """The inner method at all the layers of a detector's backbone that its feature pyramid is made from.

    The engine puts it around a method where no layer is named; see `sum_of_densities`.
    """

    word: ClassVar[str] = "backbone"
    at: ClassVar[Literal["stages", "fpn levels", "backbone"]] = "backbone"

    def fused(
        self,
        maps: Sequence[Float[Array, "batch target *_"]],
        fpn_levels: Int[np.ndarray, "batch target"] | None,
    ) -> Float[Array, "batch target *space"]:
        """See `sum_of_densities`."""
        return sum_of_densities(maps)


def fuses(expression: Expression) -> bool:
    """Whether the expression fuses the maps of several layers."""
    return isinstance(expression, Composition) and (isinstance(expression, Fuse) or fuses(expression.inner))


def by_fpn_level(expression: Expression) -> Expression:
    """The expression, at the FPN level that each target comes from if it is a method of gradients for a class.

    Other methods do not depend on the level that a target comes from, and are returned as they are.
    """
    return AtFpnLevel(expression) if _follows_gradients(expression) else expression


def by_backbone(expression: Expression) -> Expression | None:
    """The expression at the backbone; None for one that does not depend on the level that a target comes from."""
    return AtBackbone(expression) if _follows_gradients(expression) else None


def _follows_gradients(expression: Expression) -> bool:
    """Whether it is a method of gradients for a class, at one layer."""
    m = expression.method
    asks = m.scope == "layer" and m.class_specific and Need.GRADIENTS in m.needs
    return asks and not fuses(expression)


def fuse_maps(
    maps: Sequence[Float[Array, "batch target *_"]], how: Fusion = "max", gamma: float = 2.0
) -> Float[Array, "batch target *space"]:
    """Fuse the maps of several layers.

    - `max`: LayerCAM (Jiang et al., IEEE TIP 2021, eq. 9): the shallower layers scaled by tanh(γ · M / max M), the
      deepest by its maximum, then the largest at each position.
    - `product`: RefineCAM (Domeniconi et al. 2026): the product of the maps, each scaled to [0, 1].
    - `mean`: the mean of the maps, each scaled to [0, 1].
    - `cascade`: Poly-CAM (Englebert et al., ICPR 2022): from the deepest layer outwards,
      P_l = LNorm(L_l) ⊙ up(P_{l+1}), LNorm(L) = L / up(down(L)).

    Args:
        maps: the maps of the layers in the order they run, each at its own resolution.
        how: which of these.
        gamma: γ of the tanh that scales the shallower layers for `max`.
    """
    maps = [relu(m) for m in maps]
    finest = max((m.shape[2:] for m in maps), key=math.prod)
    if how == "cascade":
        return _cascade(maps)
    xp = array_namespace(maps[0])
    if how == "max":
        scaled_maps = [_over_maximum(m) for m in maps]
        shallow = [resize(xp.tanh(gamma * m), finest) for m in scaled_maps[:-1]]
        return functools.reduce(xp.maximum, [*shallow, resize(scaled_maps[-1], finest)])
    unit = [resize(scaled(m), finest) for m in maps]
    if how == "product":
        return functools.reduce(xp.multiply, unit)
    return functools.reduce(xp.add, unit) / len(unit)


def at_fpn_level(
    maps: Sequence[Float[Array, "batch target *_"]], fpn_levels: Int[np.ndarray, "batch target"] | None
) -> Float[Array, "batch target *space"]:
    """The signed map of the FPN level that each target comes from, at the finest level's resolution.

    ODAM (Zhao & Chan, ICLR 2023, arXiv:2304.06354) takes the map there. The maps of other levels are zero, or, where a
    level is computed from another, only show what leads to the target's own. A target that comes from no single level
    (such as a function of the user) gets the sum over all levels.

    Args:
        maps: the maps of the levels. If one layer gives several levels, its map is there once for each.
        fpn_levels: the number of each target's level, −1 for none; None if no target comes from a single level.
    """
    finest = max((m.shape[2:] for m in maps), key=math.prod)
    total = None
    for number, m in enumerate(maps):
        first = all(m is not earlier for earlier in maps[:number])
        own = (
            np.full(m.shape[:2], first)
            if fpn_levels is None
            else (fpn_levels == number) | ((fpn_levels < 0) & first)
        )
        if total is None or own.any():
            share = from_numpy(own.astype(np.float64), like=m)
            part = resize(m, finest) * share[(..., *(None,) * len(finest))]
            total = part if total is None else total + part
    assert total is not None
    return total


def sum_of_densities(
    maps: Sequence[Float[Array, "batch target *_"]],
) -> Float[Array, "batch target *space"]:
    """The sum of signed maps of several resolutions, each cell's value spread evenly over the area of the cell.

    So a value counts the same, whatever the size of the cell that it stands in: the sum over the result's positions is
    that over the positions of all maps (but for the interpolation between cells).

    Args:
        maps: the maps of the layers, each at its own resolution.
    """
    finest = max((m.shape[2:] for m in maps), key=math.prod)
    shares = [math.prod(m.shape[2:]) / math.prod(finest) for m in maps]
    spread = [resize(m, finest) * share for m, share in zip(maps, shares, strict=True)]
    return functools.reduce(lambda total, m: total + m, spread)


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
        # where the coarse map is zero, a detail cannot be measured against it and is left out
        detail = m / xp.where(coarse > 0, coarse, xp.inf)
        result = detail * resize(result, m.shape[2:])
    return result
