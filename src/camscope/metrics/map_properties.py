"""What a map is like: how sparse, how complex, how much like a second one. None of these says that it is right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from camscope.arrays import Array
from camscope.errors import InputError
from camscope.metrics.measured_maps import Maps, can_be_judged, named_maps
from camscope.metrics.metric import Values, metric


@metric(higher_is_better=None, paper="Hurley & Rickard 2009, arXiv:0811.4706; Chalasani et al., ICML 2020")
def gini(maps: Maps, *, baselines: Mapping[str, Array] | None = None) -> tuple[Values, tuple[str, ...]]:
    """Σ_i (2i − n − 1) |m|_(i) / (n Σ |m|), |m|_(i) ascending: 0 for an even map, 1 − 1/n for a single cell.

    Args:
        maps: see `camscope.metrics.measured_maps.Maps`; at their own resolution, on which it depends.
        baselines: maps by name, of `baseline_maps`.
    """

    def of(one: Float[np.ndarray, "*space"], image: int) -> float:
        ascending = np.sort(np.abs(one).ravel())
        n = ascending.size
        return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * ascending.sum()))

    return named_maps(maps, baselines).measured(of)


@metric(higher_is_better=None, paper="Hoyer, JMLR 2004, section 3.1")
def hoyer(maps: Maps, *, baselines: Mapping[str, Array] | None = None) -> tuple[Values, tuple[str, ...]]:
    """(√n − ‖m‖₁ / ‖m‖₂) / (√n − 1): 0 for an even map, 1 for a single cell.

    Args:
        maps: see `camscope.metrics.measured_maps.Maps`; at their own resolution, on which it depends.
        baselines: maps by name, of `baseline_maps`.
    """

    def of(one: Float[np.ndarray, "*space"], image: int) -> float:
        root = np.sqrt(one.size)
        return float((root - np.abs(one).sum() / np.linalg.norm(one)) / (root - 1))

    return named_maps(maps, baselines).measured(of)


@metric(higher_is_better=False, paper="Poppi et al., CVPRW 2021, arXiv:2104.10252")
def complexity(
    maps: Maps, *, rectify: bool = True, baselines: Mapping[str, Array] | None = None
) -> tuple[Values, tuple[str, ...]]:
    """Mean of the map scaled to [0, 1]: how much of the input it shows.

    Args:
        maps: see `camscope.metrics.measured_maps.Maps`; at their own resolution.
        rectify: whether evidence against is set to zero first, as in a heatmap.
        baselines: maps by name, of `baseline_maps`.
    """

    def of(one: Float[np.ndarray, "*space"], image: int) -> float:
        shown = np.maximum(one, 0) if rectify else one
        low, high = shown.min(), shown.max()
        return float(((shown - low) / (high - low)).mean()) if high > low else np.nan

    return named_maps(maps, baselines).measured(of)


@metric(
    higher_is_better=True,
    paper="Poppi et al., CVPRW 2021, arXiv:2104.10252",
    cost="that of explaining the inputs seen through their maps once more",
)
def coherency(
    maps: Maps, again: Maps, *, baselines: Mapping[str, Array] | None = None
) -> tuple[Values, tuple[str, ...]]:
    """(1 + r) / 2, r the Pearson correlation of a map with the map of the input as seen through it, of the same class.

    A map that does not depend on the input (the centre) has 1: look at the baselines.

    Args:
        maps: see `camscope.metrics.measured_maps.Maps`.
        again: the maps of x ⊙ heatmap, made by the same method, of the same shapes and names.
        baselines: maps by name, by which `again` is measured too.

    Raises:
        InputError: if there is no such map of the same shape.
    """
    named, second = named_maps(maps, baselines), named_maps(again).maps
    for name, one in named.maps.items():
        if name not in second or second[name].shape != one.shape:
            raise InputError(
                f"again: there is no second map {name!r} of the shape {one.shape}. Explain the inputs seen through "
                "their maps by the same methods, at the same layers."
            )
    values = {
        name: np.array(
            [
                [_coherent(a, b) for a, b in zip(*both, strict=True)]
                for both in zip(own, second[name], strict=True)
            ]
        )
        for name, own in named.maps.items()
    }
    return values, named.baselines


def _coherent(a: Float[np.ndarray, "*space"], b: Float[np.ndarray, "*space"]) -> float:
    if not (can_be_judged(a) and can_be_judged(b)):
        return np.nan
    return float((1 + np.corrcoef(a.ravel(), b.ravel())[0, 1]) / 2)
