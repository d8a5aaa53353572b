"""Does the map find the thing? The pointing game, and the energy inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import Array, resize
from camscope.metrics.measured_maps import Maps, named_maps
from camscope.metrics.metric import Values, metric
from camscope.metrics.true_regions import regions_of


@metric(
    higher_is_better=True,
    paper="Zhang et al., IJCV 2018, arXiv:1608.00507; the tolerance as in TorchRay",
)
def pointing_game(
    maps: Maps,
    regions: Any,
    *,
    size: Sequence[int] | None = None,
    tolerance: float = 15,
    baselines: Mapping[str, Array] | None = None,
) -> tuple[Values, tuple[str, ...]]:
    """1 where the map's maximum is less than `tolerance` pixels from the region, else 0; by image and target.

    Where several pixels share the maximum, it is the share of them that hit. The accuracy of a set is the mean; the
    paper takes the mean of each class first. A large region is hit by chance: look at the baselines.

    Args:
        maps: see `camscope.metrics.measured_maps.Maps`; they are resized to the input.
        regions: masks `batch *size` of booleans; or for each image a box or a list of boxes, (x0, y0, x1, y1).
        size: of the model's input, in pixels; needed with boxes.
        tolerance: how far beside still counts, in pixels of the input: 15 at about 224. 0 counts only what is inside.
        baselines: maps by name, of `baseline_maps`.

    Raises:
        InputError: if the regions do not fit the maps or the input.
    """
    from scipy import ndimage

    named = named_maps(maps, baselines)
    masks = regions_of(regions, size, maps, named)
    near = [mask | (ndimage.distance_transform_edt(~mask) < tolerance) for mask in masks]

    def hit(one: Float[np.ndarray, "*space"], image: int) -> float:
        large = at_size(one, masks.shape[1:])
        return float(near[image][large == large.max()].mean())

    return named.measured(hit)


@metric(higher_is_better=True, paper="Wang et al. (Score-CAM), CVPRW 2020, arXiv:1910.01279, section 4.3")
def energy_inside(
    maps: Maps,
    regions: Any,
    *,
    size: Sequence[int] | None = None,
    baselines: Mapping[str, Array] | None = None,
) -> tuple[Values, tuple[str, ...]]:
    """Σ_{inside} relu(M) / Σ relu(M): the share of the positive map inside the region; by image and target.

    A map that is positive nowhere cannot be judged. By chance it is the share of the input that the region covers.

    Args:
        maps: see `camscope.metrics.measured_maps.Maps`; they are rectified, and resized to the input.
        regions: masks `batch *size` of booleans; or for each image a box or a list of boxes, (x0, y0, x1, y1).
        size: of the model's input, in pixels; needed with boxes.
        baselines: maps by name, of `baseline_maps`.

    Raises:
        InputError: if the regions do not fit the maps or the input.
    """
    named = named_maps(maps, baselines)
    masks = regions_of(regions, size, maps, named)

    def share(one: Float[np.ndarray, "*space"], image: int) -> float:
        large = at_size(np.maximum(one, 0), masks.shape[1:])
        total = large.sum()
        return float(large[masks[image]].sum() / total) if total else np.nan

    return named.measured(share)


def at_size(one: Float[np.ndarray, "*space"], size: Sequence[int]) -> Float[np.ndarray, "*size"]:
    """One map at the size of the input, linearly."""
    return np.asarray(resize(one[None, None], size)[0, 0])
