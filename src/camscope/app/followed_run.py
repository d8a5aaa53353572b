"""A run that is looked at in a browser: its rows page by page, also while it is being written."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from camscope.app.view import about_method, base64_of
from camscope.errors import InputError
from camscope.images import Geometry
from camscope.results.saving import finite
from camscope.runs import RunRows
from camscope.runs import open as open_run
from camscope.runs.row_columns import HEAVY, schema
from camscope.runs.run_store import INDEX, SHARDS

MOST_ROWS = 500
"""So many rows are in one page at most."""

_PATIENCE = 30.0
"""Seconds after which a question is given up."""

_AGAIN = 1.0
"""Seconds between two looks at whether a run has grown."""

SORTS: Mapping[str, str] = {
    "error": "CASE WHEN label != top1 THEN top1_probability ELSE -top1_probability END",
}
"""Orders that have a name of their own: wrong and sure of it first, right and sure of it last."""

_CARD = (
    "id", "row", "source", "label", "status", "reason", "top1", "top1_probability", "target", "target_number",
    "target_index", "score", "probability", "method", "layer", "notes",
)  # fmt: skip
"""What of a row is shown as it is; beside its numbers."""

_PLACES = ("first", "second", "scale", "row")
"""Columns that say where a row's bytes lie, and are no numbers of anything."""

Among = Sequence[tuple[int, int]]
"""Rows by the number of their image, and theirs among its rows."""


@dataclass(eq=False)
class FollowedRun:
    """A run, opened again where it has grown.

    Attributes:
        path: its folder.
        id: by which the page asks for it.
        held: photos of it that the page has opened, by the numbers of their images.
    """

    path: Path
    id: str
    held: dict[int, str] = field(default_factory=dict)
    _rows: RunRows | None = None
    _seen: int = -1
    _looked: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name

    @property
    def rows(self) -> RunRows:
        """All rows that are there by now.

        Raises:
            InputError: if it is no run, or has no finished shard yet.
        """
        with self._lock:
            now = time.monotonic()
            if self._rows is None or (not self._rows.opened.indexed and now - self._looked > _AGAIN):
                there = self._files_there()
                if self._rows is None or there != self._seen:
                    self._rows = open_run(self.path).within(_PATIENCE)
                self._seen, self._looked = there, now
            return self._rows

    def _files_there(self) -> int:
        """How many files it has: its shards, and its index, with which it is settled."""
        folder = self.path / SHARDS
        shards = sum(not one.name.startswith(".") for one in folder.iterdir()) if folder.is_dir() else 0
        return shards + (self.path / INDEX).is_file()

    def about(self) -> dict[str, Any]:
        """What the page is told of the run as a whole; it asks again while the run is not complete."""
        rows = self.rows
        plan = rows.opened.plan
        asked = plan.asked
        return {
            "id": self.id,
            "name": self.name,
            "rows": rows.opened.count,
            "images": plan.count,
            "failed": len(rows.failures),
            "complete": rows.is_complete,
            "shards": {"there": len(rows.opened.files), "of": plan.shards},
            "model": asked.model,
            "methods": [
                about_method(name, facts["paper"], rectified=bool(facts["rectified"]))
                for name, facts in plan.facts.items()
            ],
            "layers": _distinct(rows, "layer"),
            "targets": [int(one) for one in _distinct(rows, "target_number")],
            "asked_targets": list(asked.targets),
            "labelled": bool(_distinct(rows, "label IS NOT NULL")[-1:] == [True]),
            "columns": [name for name in rows.columns if name not in HEAVY],
            "numbers": number_columns(rows),
        }

    def chosen(self, where: str = "", among: Among | None = None) -> RunRows:
        """Some of the rows.

        Args:
            where: a condition in SQL; "" is all.
            among: these alone; None is all.

        Raises:
            InputError: if the condition is none.
        """
        rows = self.rows
        if among is not None:
            pairs = ", ".join(f"({int(id)}, {int(row)})" for id, row in among) or "(-1, -1)"
            rows = rows.where(f"(id, row) IN ({pairs})")
        return rows.where(where) if where.strip() else rows

    def page(
        self,
        where: str = "",
        sort: str = "",
        *,
        descending: bool = False,
        offset: int = 0,
        limit: int = 60,
        among: Among | None = None,
    ) -> dict[str, Any]:
        """A page of rows with their maps.

        Args:
            where: a condition in SQL; "" is all.
            sort: a column, one of `SORTS`, or SQL; "" is the order of the run.
            descending: whether the largest comes first.
            offset: how many rows are left out before.
            limit: how many at most, up to `MOST_ROWS`.
            among: these rows alone; None is all.

        Raises:
            InputError: if the condition or the order is none.
        """
        if not 0 < limit <= MOST_ROWS:
            raise InputError(f"limit={limit}: a page has 1 to {MOST_ROWS} rows.")
        rows = self.chosen(where, among)
        page = rows.page(
            sort=SORTS.get(sort, sort) or None,
            descending=descending,
            offset=offset,
            limit=limit,
            columns=rows.columns,
        )
        return {
            "count": page.count,
            "all": rows.opened.count,
            "complete": rows.is_complete,
            "shards": {"there": len(rows.opened.files), "of": rows.opened.plan.shards},
            "offset": offset,
            "rows": [self._card(row) for row in page.rows],
        }

    def _card(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the page is given of a row."""
        numbers = {name: row[name] for name in number_columns(self.rows) if name not in _CARD}
        card = {
            **{name: row[name] for name in _CARD},
            "name": name_of(row["source"]),
            "numbers": numbers,
            "map": None,
            "geometry": None,
        }
        if row["map_shape"] is not None and len(row["map_shape"]) == 2:
            halves = np.asarray(row["map"], np.float32) * np.float32(row["scale"])
            card["map"] = {"shape": row["map_shape"], "values": base64_of(halves)}
        if row["geometry"] is not None:
            size = {"photo_size": (row["height"], row["width"])}
            card["geometry"] = Geometry.from_dict({**size, **row["geometry"]}).to_dict()
        told: dict[str, Any] = finite(card)
        return told

    def classes(self, where: str = "", most: int = 200) -> dict[str, Any]:
        """How many rows each label and each top class has, the most frequent first.

        Args:
            where: a condition in SQL; "" is all.
            most: how many of each.

        Raises:
            InputError: if the condition is none.
        """
        rows = self.chosen(where)
        found = {}
        for column in ("label", "top1"):
            table = rows.counts(column, most)
            found[column] = [{"value": value, "count": count} for value, count in table]
        return found


def name_of(source: str) -> str:
    """What the photo of a row is called: its file's name."""
    return PurePath(source).name or source


def number_columns(rows: RunRows) -> list[str]:
    """The columns of numbers of a map or an image, in their order.

    Args:
        rows: whose.
    """
    kinds = {one.name: str(one.type) for one in schema()}
    return [
        name
        for name in rows.columns
        if name not in (*HEAVY, *_PLACES)
        and kinds.get(name, "float") in ("float", "double", "int32", "int64")
    ]


def _distinct(rows: RunRows, column: str) -> list[Any]:
    return sorted(value for value, _ in rows.counts(column) if value is not None)
