"""What a page asks of a run, as plain values: pages of rows, facets, mean maps, points."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from camscope.app.serving.map_scatter import AXES, MOST, map_places
from camscope.app.view import about_method, base64_of
from camscope.arrays import whole
from camscope.errors import InputError
from camscope.results.saving import finite
from camscope.runs import RunRows
from camscope.runs.map_numbers import NUMBERS
from camscope.runs.row_columns import HEAVY, SIMILARITY, TRUST
from camscope.runs.row_summaries import histogram, points, value_counts

_CATEGORIES = ("label", "top1", "target", "method", "layer", "status")
_NUMBERS = (
    "top1_probability",
    "probability",
    "score",
    *(name for name in NUMBERS if name != "box"),
    TRUST,
    SIMILARITY,
)
_INSIDE = ("kind", "first", "second", "file_digest", "scale", "map_shape", "low", "high")
"""What of a row is nothing for people."""


_OF_MAP = ("map", "map_shape", "scale", "geometry", "height", "width")
"""What a map and its place on the photo are made of."""

SORTS = {"error": "CASE WHEN label != top1 THEN top1_probability ELSE -top1_probability END"}
"""Orders with a name of their own: by `error`, descending, wrong and sure of it comes first, right and sure last."""

_MOST_MEAN = 20_000
"""Of more rows a mean map is that of a sample of so many."""


def about_of(rows: RunRows, id: str, name: str) -> dict[str, Any]:
    """A run as a whole.

    Args:
        rows: all that there are.
        id: what requests call the run.
        name: what people call it.
    """
    plan = rows.opened.plan
    counts = {
        column: sorted(one for one, _ in value_counts(rows, column) if one is not None)
        for column in ("layer", "target_number", "label IS NOT NULL", "status = 'failed'")
    }
    return {
        "id": id,
        "name": name,
        "rows": rows.opened.count,
        "images": plan.count,
        "failed": len(rows.failures) if True in counts["status = 'failed'"] else 0,
        "complete": rows.is_complete,
        "shards": {"there": len(rows.opened.files), "of": plan.shards},
        "model": plan.asked.model,
        "methods": [
            about_method(method, facts["paper"], rectified=bool(facts["rectified"]))
            for method, facts in plan.facts.items()
        ],
        "layers": counts["layer"],
        "targets": counts["target_number"],
        "labelled": True in counts["label IS NOT NULL"],
        "columns": [name for name in rows.columns if name not in (*HEAVY, *_INSIDE)],
        "numbers": [name for name in _NUMBERS if name in rows.columns],
    }


def chosen_rows(
    rows: RunRows, where: str, sort: str, *, descending: bool, of: Sequence[int] | None
) -> RunRows:
    """Rows as a page asks for them.

    Args:
        rows: all.
        where: a condition in SQL; "" for none.
        sort: a column, one of `SORTS`, or SQL; "" for the order of the inputs.
        descending: whether the largest comes first.
        of: these images alone; None for all.

    Raises:
        InputError: if it is no question.
    """
    if of is not None:
        rows = rows.where(f"id IN ({', '.join(str(int(one)) for one in of) or 'NULL'})")
    if where.strip():
        rows = rows.where(where)
    return rows.sort(SORTS.get(sort, sort), descending=descending) if sort.strip() else rows


def page_of(
    rows: RunRows, *, offset: int, limit: int, maps: bool, columns: Sequence[str] | None = None
) -> dict[str, Any]:
    """A page of rows.

    Args:
        rows: all that were chosen.
        offset: how many are left out before.
        limit: how many at most.
        maps: whether each has its raw map, for small pictures.
        columns: these alone, beside the map; None for all. The fewer, the faster.

    Raises:
        InputError: if there is no such column.
    """
    page = rows.limit(limit, offset=offset)
    if columns is None:
        found = page.to_arrow(maps=maps).to_pylist()
    else:
        found = page.to_arrow(columns=["id", "row", *columns, *(_OF_MAP if maps else ())]).to_pylist()
    wanted = None if columns is None else {"id", "row", *columns}
    shown = [_row(row, wanted) for row in found]
    plain: dict[str, Any] = finite(
        {
            "count": len(rows),
            "complete": rows.is_complete,
            "columns": [name for name in rows.columns if name not in (*HEAVY, *_INSIDE)],
            "rows": shown,
        }
    )
    return plain


def _row(row: dict[str, Any], wanted: Collection[str] | None) -> dict[str, Any]:
    shown = {
        name: value
        for name, value in row.items()
        if name not in (*HEAVY, *_INSIDE) and (wanted is None or name in wanted)
    }
    if row.get("map") is not None:
        halves = np.asarray(row["map"], np.float32).reshape(row["map_shape"])
        geometry = {"photo_size": [row["height"], row["width"]], **row["geometry"]}
        shown |= {"map": grid(whole(halves, np.asarray(row["scale"], np.float32))), "geometry": geometry}
    return shown


def facets_of(rows: RunRows, *, numbers: bool = True) -> dict[str, Any]:
    """How many rows each value of a column has, and how the numbers are spread.

    Args:
        rows: that were chosen.
        numbers: whether it is also told how these are spread, which takes longer.
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
                for name in (_NUMBERS if numbers else ())
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
    count = len(rows)
    sampled = count > _MOST_MEAN
    return {
        "by": by,
        "complete": rows.is_complete,
        "count": count,
        "sampled": sampled,
        "means": [
            {"value": _plain(value), "count": mean.count, "map": grid(mean.map)}
            for value, mean in (rows.sample(_MOST_MEAN) if sampled else rows).mean_maps(by=by).items()
        ],
    }


def scatter_of(rows: RunRows, x: str, y: str, colour: str | None, *, limit: int) -> dict[str, Any]:
    """Two numbers of each row as points.

    Args:
        rows: that were chosen.
        x: column, or SQL; or one of `AXES`, a direction in which the maps of these rows differ.
        y: likewise.
        colour: column, or SQL, of a further value.
        limit: points at most; of more some are drawn by chance. Maps are compared of fewer.

    Raises:
        InputError: if no two columns of numbers are named.
    """
    if not (x.strip() and y.strip()):
        raise InputError("Name two columns of numbers, x and y, such as centroid_x and centroid_y.")
    count = len(rows)
    if x in AXES or y in AXES:
        rows = rows.where("map_shape IS NOT NULL")
        limit = min(limit, MOST)
    table = points(
        rows,
        *("0" if axis in AXES else axis for axis in (x, y)),
        colour=colour,
        most=limit,
    )
    found: dict[str, list[Any]] = {
        name: table[name].to_pylist() for name in ("id", "row", "x", "y", "colour")
    }
    components: list[dict[str, Any]] = []
    if x in AXES or y in AXES:
        found, components = _among_maps(rows, found, x, y)
    plain: dict[str, Any] = finite(
        {
            "x": x,
            "y": y,
            "colour": colour,
            "count": count,
            "sampled": len(table) == limit,
            "points": found,
            "components": components,
        }
    )
    return plain


def _among_maps(
    rows: RunRows, found: dict[str, list[Any]], x: str, y: str
) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """Points with their places along the directions in which their maps differ; and these."""
    keys = (
        ", ".join(f"({id}, {row})" for id, row in zip(found["id"], found["row"], strict=True)) or "(-1, -1)"
    )
    table = (
        rows.where(f"(id, row) IN ({keys})")
        .sort("id")
        .to_arrow(columns=["id", "row", "map", "map_shape", "scale", "method"])
    )
    among = map_places(table, rows)
    there = sorted(among.places)
    placed = {name: [values[row] for row in there] for name, values in found.items()}
    for name, axis in (("x", x), ("y", y)):
        if axis in AXES:
            placed[name] = [round(among.places[row][AXES.index(axis)], 5) for row in there]
    components = [
        {**grid(part), "share": share} for part, share in zip(among.components, among.shares, strict=True)
    ]
    return placed, components


def grid(values: Any) -> dict[str, Any]:
    """A map as a page reads it: its shape, and float32 in base64.

    Args:
        values: the map.
    """
    return {"shape": [*np.shape(values)], "values": base64_of(values)}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
