"""What a model looked at in many images, as points: two numbers of each, or where its map lies among all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.app.followed_run import number_columns
from camscope.app.view import base64_of
from camscope.arrays import resize
from camscope.errors import InputError, nearest
from camscope.runs import RunRows
from camscope.runs.mean_maps import fitted, shown_maps

MAPS = ("maps-1", "maps-2")
"""The axes that are made of the maps: their first two principal components."""

_MOST = 4_000
"""So many points are drawn; of more rows a sample is."""

_GROUPS = 8
_NOWHERE = (np.nan, np.nan)
_COARSE = 14
"""So many rows and columns of a map tell where it looks; more are not compared."""


def scatter(rows: RunRows, x: str = MAPS[0], y: str = MAPS[1], *, most: int = _MOST) -> dict[str, Any]:
    """Points of rows.

    Args:
        rows: whose.
        x: a column of numbers, or one of `MAPS`.
        y: likewise.
        most: of more rows than these a sample is taken.

    Raises:
        InputError: if there is no such column, or it is none of numbers.
    """
    if not 0 < most <= 20_000:
        raise InputError(f"limit={most}: a scatter has 1 to 20000 points.")
    axes = [_checked(rows, axis) for axis in (x, y)]
    embedded = any(axis in MAPS for axis in axes)
    count = len(rows)
    chosen = rows.where("map_shape IS NOT NULL").sample(most) if count > most else rows
    wanted = ["id", "row", "label", "top1", *(axis for axis in axes if axis not in MAPS)]
    table = chosen.to_arrow(columns=[*wanted, *(["map", "map_shape", "scale", "method"] if embedded else [])])
    places, parts, shares = _components(table, rows) if embedded else ({}, [], [])
    values = [
        [places.get(row, _NOWHERE)[MAPS.index(axis)] for row in range(table.num_rows)]
        if axis in MAPS
        else [np.nan if value is None else float(value) for value in table[axis].to_pylist()]
        for axis in axes
    ]
    there = [row for row in range(table.num_rows) if np.isfinite(values[0][row] + values[1][row])]
    labels, tops = table["label"].to_pylist(), table["top1"].to_pylist()
    classes = labels if any(label is not None for label in labels) else tops
    names = [name for name, _ in Counter(classes[row] for row in there).most_common(_GROUPS)]
    return {
        "x": axes[0],
        "y": axes[1],
        "count": count,
        "sampled": count > most,
        "names": names,
        "points": {
            "id": [table["id"][row].as_py() for row in there],
            "row": [table["row"][row].as_py() for row in there],
            "x": [round(values[0][row], 5) for row in there],
            "y": [round(values[1][row], 5) for row in there],
            "group": [names.index(classes[row]) if classes[row] in names else -1 for row in there],
            "wrong": [labels[row] is not None and labels[row] != tops[row] for row in there],
        },
        "components": [
            {"shape": [*part.shape], "values": base64_of(part), "share": float(share)}
            for part, share in zip(parts, shares, strict=True)
        ],
    }


def _checked(rows: RunRows, axis: str) -> str:
    numbers = [*MAPS, *number_columns(rows)]
    if axis in numbers:
        return axis
    if axis in rows.columns:
        raise InputError(
            f"The column {axis!r} has no numbers, so it is no axis. These have: {', '.join(numbers)}."
        )
    raise InputError(f"There is no column {axis!r}.{nearest(axis, numbers)}")


def _components(
    table: Any, rows: RunRows
) -> tuple[Mapping[int, Sequence[float]], list[Float[np.ndarray, "height width"]], list[float]]:
    """Where each row's map lies along the first two principal components; these, and their share of the variance.

    Maps are compared as they are shown, each divided by its own maximum.
    """
    numbers: list[int] = []
    maps: list[Float[np.ndarray, "height width"]] = []
    for row, shown in shown_maps(table, rows.opened.plan.facts):
        most = shown.max(initial=0.0)
        if most > 0 and shown.ndim == 2:
            numbers.append(row)
            maps.append(fitted(_coarse(shown), maps[0]) / most if maps else _coarse(shown) / most)
    if len(maps) < 3:
        return {}, [], []
    cells = np.stack(maps).reshape(len(maps), -1).astype(np.float64)
    cells -= cells.mean(axis=0)
    variances, vectors = np.linalg.eigh(cells.T @ cells)
    first = vectors[:, :-3:-1]
    first = first * np.sign(
        first[np.abs(first).argmax(axis=0), [0, 1]]
    )  # the sign is free: the largest part is positive
    shares = variances[:-3:-1] / max(variances.sum(), np.finfo(float).tiny)
    places = cells @ first
    parts = [part.reshape(maps[0].shape) for part in first.T]
    return dict(zip(numbers, places.tolist(), strict=True)), parts, shares.tolist()


def _coarse(shown: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "rows columns"]:
    height, width = shown.shape
    if max(height, width) <= _COARSE:
        return shown
    small = resize(shown[None, None], (min(height, _COARSE), min(width, _COARSE)))
    return np.asarray(np.asarray(small)[0, 0])
