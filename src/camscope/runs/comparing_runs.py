"""The same images in two runs: how like their maps are, and on which the model changed its mind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from camscope.errors import InputError, MissingPackageError
from camscope.runs.mean_maps import likeness, shown_maps
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.querying import AT_A_TIME, ROWS, WITH_MAPS, OpenStore, add_maps, connected, teaching

_KEPT = (
    "source",
    "label",
    "id",
    "other_id",
    "target",
    "other_target",
    "top1",
    "other_top1",
    "changed",
    "probability",
    "other_probability",
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Images that are in two runs, a row for each image and number of target.

    Attributes:
        table: Arrow: `source`, `label`, and of both sides, the second as `other_…`: `id`, `target`, `top1`,
            `probability`; `changed`: whether the top class is another one; `similarity`: the cosine of the maps as they
            are shown, null where one is zero.
        only_first: how many images are in the first alone, failed ones included.
        only_second: how many in the second.
    """

    table: Any
    only_first: int
    only_second: int

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def changed(self) -> Comparison:
        """Those on which the top class is another one."""
        return Comparison(self.table.filter(self.table["changed"]), self.only_first, self.only_second)

    def sort(self, column: str = "similarity", *, descending: bool = False) -> Comparison:
        """The same in another order; what has no value comes last.

        Args:
            column: of the table.
            descending: whether the largest comes first.

        Raises:
            InputError: if there is no such column.
        """
        if column not in self.table.column_names:
            raise InputError(
                f"A comparison has no column {column!r}; it has {', '.join(self.table.column_names)}."
            )
        way = "descending" if descending else "ascending"
        return Comparison(self.table.sort_by([(column, way)]), self.only_first, self.only_second)

    def to_pandas(self) -> Any:
        """The table as a DataFrame.

        Raises:
            MissingPackageError: if pandas is not installed.
        """
        try:
            return self.table.to_pandas()
        except ImportError as error:
            raise MissingPackageError("to_pandas()", "pandas") from error

    def summary(self) -> dict[str, Any]:
        """How many there are, how many changed, and how like the maps are in the mean."""
        similar = [value for value in self.table["similarity"].to_pylist() if value is not None]
        return {
            "compared": len(self),
            "changed": sum(self.table["changed"].to_pylist()),
            "similarity": sum(similar) / len(similar) if similar else None,
            "only_first": self.only_first,
            "only_second": self.only_second,
        }

    def __repr__(self) -> str:
        found = self.summary()
        like = "" if found["similarity"] is None else f", mean similarity {found['similarity']:.3f}"
        return f"{type(self).__name__}({len(self):,} compared, {found['changed']:,} changed{like})"


def compared(first: tuple[OpenStore, str], second: tuple[OpenStore, str]) -> Comparison:
    """Compare the rows of two stores, or two choices of rows of one.

    Args:
        first: a store, and which of its rows, as SQL.
        second: likewise.

    Raises:
        InputError: if no image is on both sides, or a source is there twice.
    """
    (one, mine), (two, theirs) = first, second
    connection = connected({ROWS: one, f"other_{ROWS}": two})
    theirs = re.sub(rf"\bFROM {ROWS}\b", f"FROM other_{ROWS}", theirs)
    by = "id" if one.plan.inputs_sha256 == two.plan.inputs_sha256 else "source"
    with teaching(one, mine + theirs):
        for name, text, rows in (("a", mine, ROWS), ("b", theirs, f"other_{ROWS}")):
            add_maps(connection, rows, one if name == "a" else two)
            connection.execute(f"CREATE VIEW {name} AS {text}")
            connection.execute(
                f"CREATE VIEW {name}_maps AS SELECT * FROM {name} JOIN {rows}{WITH_MAPS} USING (id, row)"
            )
        if by == "source":
            _check_once(connection, "a")
            _check_once(connection, "b")
        parts = [_likened(batch, one, two) for batch in _pairs(connection, by)]
    if not sum(part.num_rows for part in parts):
        raise InputError(
            "No image is in both: they are told by their source, such as "
            f"{_some(connection, 'a')} here and {_some(connection, 'b')} there. Run both on the same DATA."
        )
    pa, _ = pyarrow_modules()
    return Comparison(
        pa.concat_tables(parts), _alone(connection, "a", "b", by), _alone(connection, "b", "a", by)
    )


def _pairs(connection: Any, by: str) -> Iterator[Any]:
    """The rows that are on both sides, in parts."""
    names = ("map", "map_shape", "scale", "method")
    maps = ", ".join(f"a.{name}, b.{name} AS other_{name}" for name in names)
    sql = (
        "SELECT a.source, coalesce(a.label, b.label) AS label, a.id, b.id AS other_id, a.target, "
        "b.target AS other_target, a.top1, b.top1 AS other_top1, a.top1 IS DISTINCT FROM b.top1 AS changed, "
        f"a.probability, b.probability AS other_probability, {maps} "
        f"FROM a_maps AS a JOIN b_maps AS b ON a.{by} = b.{by} AND a.target_number = b.target_number "
        "ORDER BY a.id, a.row"
    )
    yield from connection.cursor().sql(sql).to_arrow_reader(AT_A_TIME)


def _likened(batch: Any, one: OpenStore, two: OpenStore) -> Any:
    """A part of a comparison's table: how like the maps are in place of the maps."""
    pa, _ = pyarrow_modules()
    names = ["map", "map_shape", "scale", "method"]
    other = pa.record_batch([batch[f"other_{name}"] for name in names], names=names)
    likes: list[float | None] = [None] * batch.num_rows
    pairs = zip(shown_maps(batch, one.plan.facts), shown_maps(other, two.plan.facts), strict=True)
    for (row, mine), (_, theirs) in pairs:
        value = likeness(mine, theirs)
        likes[row] = None if np.isnan(value) else value
    kept = pa.table({name: batch[name] for name in _KEPT})
    return kept.append_column("similarity", pa.array(likes, pa.float32()))


def _check_once(connection: Any, name: str) -> None:
    sql = f"SELECT source FROM {name} GROUP BY source, target_number HAVING count(*) > 1 LIMIT 1"
    found = connection.execute(sql).fetchone()
    if found is not None:
        raise InputError(f"{found[0]!r} is there twice, so it cannot be told which of them to compare.")


def _alone(connection: Any, name: str, other: str, by: str) -> int:
    sql = f"SELECT count(DISTINCT {by}) FROM {name} WHERE {by} NOT IN (SELECT {by} FROM {other} WHERE {by} IS NOT NULL)"
    return int(connection.execute(sql).fetchone()[0])


def _some(connection: Any, name: str) -> str:
    found = connection.execute(f"SELECT source FROM {name} LIMIT 1").fetchone()
    return "none" if found is None else repr(found[0])
