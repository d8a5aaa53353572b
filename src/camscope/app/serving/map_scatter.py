"""Where each map lies among all maps of a run: along the directions in which they differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import resize
from camscope.runs import RunRows
from camscope.runs.mean_maps import fitted, shown_maps

AXES = ("maps-1", "maps-2")
"""What the two directions are called where a column could be named."""

MOST = 4_000
"""Of more rows a sample is compared."""

_COARSE = 14
"""So many rows and columns of a map tell where it looks; more are not compared."""


@dataclass(frozen=True, eq=False)
class MapPlaces:
    """Where maps lie along the first two principal components of all of them.

    Attributes:
        places: of each row along both, by its number in the table; rows without a map have none.
        components: both, as maps.
        shares: how much of the variance of all maps each has.
    """

    places: Mapping[int, Sequence[float]]
    components: Sequence[Float[np.ndarray, "height width"]]
    shares: Sequence[float]


def map_places(table: Any, rows: RunRows) -> MapPlaces:
    """Find the directions, and where each map lies.

    Maps are compared as they are shown, each divided by its own maximum.

    Args:
        table: of rows, with `map`, `map_shape`, `scale` and `method`.
        rows: of the run that they are of.
    """
    numbers: list[int] = []
    maps: list[Float[np.ndarray, "height width"]] = []
    for row, shown in shown_maps(table, rows.opened.plan.facts):
        most = shown.max(initial=0.0)
        if most > 0 and shown.ndim == 2:
            numbers.append(row)
            small = _coarse(shown) / most
            maps.append(fitted(small, maps[0]) if maps else small)
    if len(maps) < 3:
        return MapPlaces({}, [], [])
    cells = np.stack(maps).reshape(len(maps), -1).astype(np.float64)
    cells -= cells.mean(axis=0)
    variances, vectors = np.linalg.eigh(cells.T @ cells)
    first = vectors[:, :-3:-1]
    first = first * np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])  # the sign is free, and fixed so
    shares = variances[:-3:-1] / max(variances.sum(), np.finfo(float).tiny)
    places = dict(zip(numbers, (cells @ first).tolist(), strict=True))
    return MapPlaces(places, [part.reshape(maps[0].shape) for part in first.T], shares.tolist())


def _coarse(shown: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "rows columns"]:
    height, width = shown.shape
    if max(height, width) <= _COARSE:
        return shown
    small = resize(shown[None, None], (min(height, _COARSE), min(width, _COARSE)))
    return np.asarray(np.asarray(small)[0, 0])
