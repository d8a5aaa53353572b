"""What a page asks of a run, as plain values: pages of rows, facets, mean maps, points."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from camscope.arrays import whole
from camscope.errors import InputError
from camscope.results.saving import finite
from camscope.runs import RunRows
from camscope.runs.map_numbers import NUMBERS
from camscope.runs.row_columns import HEAVY, SIMILARITY
from camscope.runs.row_summaries import histogram, points, value_counts

_CATEGORIES = ("label", "top1", "target", "method", "layer", "status")
_NUMBERS = (
    "top1_probability",
    "probability",
    "score",
    *(name for name in NUMBERS if name != "box"),
    SIMILARITY,
)
_INSIDE = ("kind", "first", "second", "file_digest", "scale", "map_shape", "low", "high")
"""What of a row is nothing for people."""


def chosen_rows(
    rows: RunRows, where: str, sort: str, *, descending: bool, of: Sequence[int] | None
) -> RunRows:
    """Rows as a page asks for them.

    Args:
        rows: all.
        where: a condition in SQL; "" for none.
        sort: a column, or SQL; "" for the order of the inputs.
        descending: whether the largest comes first.
        of: these images alone; None for all.

    Raises:
        InputError: if it is no question.
    """
    if of is not None:
        rows = rows.where(f"id IN ({', '.join(str(int(one)) for one in of) or 'NULL'})")
    if where.strip():
        rows = rows.where(where)
    return rows.sort(sort, descending=descending) if sort.strip() else rows


def page_of(rows: RunRows, *, offset: int, limit: int, maps: bool) -> dict[str, Any]:
    """A page of rows.

    Args:
        rows: all that were chosen.
        offset: how many are left out before.
        limit: how many at most.
        maps: whether each has its raw map, for small pictures.
    """
    found = rows.limit(limit, offset=offset).to_arrow(maps=maps).to_pylist()
    shown = [_row(row) for row in found]
    plain: dict[str, Any] = finite(
        {
            "count": len(rows),
            "complete": rows.is_complete,
            "columns": [name for name in rows.columns if name not in (*HEAVY, *_INSIDE)],
            "rows": shown,
        }
    )
    return plain


def _row(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in (*HEAVY, *_INSIDE)}
    if row.get("map") is not None:
        halves = np.asarray(row["map"], np.float32).reshape(row["map_shape"])
        geometry = {"photo_size": [row["height"], row["width"]], **row["geometry"]}
        shown |= {"map": grid(whole(halves, np.asarray(row["scale"], np.float32))), "geometry": geometry}
    return shown


def facets_of(rows: RunRows) -> dict[str, Any]:
    """How many rows each value of a column has, and how the numbers are spread.

    Args:
        rows: that were chosen.
    """
    known = rows.columns
    counts = {
        name: [{"value": value, "count": count} for value, count in value_counts(rows, name)]
        for name in _CATEGORIES
        if name in known
    }
    wrong = dict(value_counts(rows, "label IS NOT NULL AND label != top1"))
    plain: dict[str, Any] = finite(
        {
            "count": len(rows),
            "complete": rows.is_complete,
            "categories": {name: values for name, values in counts.items() if values},
            "wrong": wrong.get(True, 0),
            "labelled": any(one["value"] is not None for one in counts.get("label", [])),
            "numbers": {
                name: spread
                for name in _NUMBERS
                if name in known and (spread := histogram(rows, name)) is not None
            },
        }
    )
    return plain


def means_of(rows: RunRows, by: str) -> dict[str, Any]:
    """The mean map of each class.

    Args:
        rows: that were chosen.
        by: column, or SQL, whose values are the classes.
    """
    return {
        "by": by,
        "complete": rows.is_complete,
        "means": [
            {"value": _plain(value), "count": mean.count, "map": grid(mean.map)}
            for value, mean in rows.mean_maps(by=by).items()
        ],
    }


def scatter_of(rows: RunRows, x: str, y: str, colour: str | None, *, limit: int) -> dict[str, Any]:
    """Two numbers of each row as points.

    Args:
        rows: that were chosen.
        x: column, or SQL.
        y: likewise.
        colour: column, or SQL, of a further value.
        limit: points at most; of more some are drawn by chance.

    Raises:
        InputError: if no two columns of numbers are named.
    """
    if not (x.strip() and y.strip()):
        raise InputError("Name two columns of numbers, x and y, such as centroid_x and centroid_y.")
    table = points(rows, x, y, colour=colour, most=limit)
    plain: dict[str, Any] = finite(
        {
            "x": x,
            "y": y,
            "colour": colour,
            "count": len(rows),
            "sampled": len(table) == limit,
            "points": {name: table[name].to_pylist() for name in ("id", "row", "x", "y", "colour")},
        }
    )
    return plain


def grid(values: Any) -> dict[str, Any]:
    """A map as a page reads it: its shape, and float32 in base64.

    Args:
        values: the map.
    """
    numbers = np.nan_to_num(np.asarray(values, "<f4"), nan=0.0, posinf=0.0, neginf=0.0)
    return {"shape": [*numbers.shape], "values": base64.b64encode(numbers.tobytes()).decode()}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
