"""What many rows are together: how often each value is there, how numbers are spread, and two of them as points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camscope.errors import InputError
from camscope.runs.run_rows import RunRows


def value_counts(rows: RunRows, by: str, *, most: int = 100) -> list[tuple[Any, int]]:
    """How many rows each value has, the most frequent first.

    Args:
        rows: of a run.
        by: column, or SQL.
        most: values at most.

    Raises:
        InputError: if there is no such column.
    """
    rows.opened.check_words(by)
    found = rows.opened.ask(
        f"SELECT ({by}\n) AS value, count(*) AS n FROM ({rows.question}) GROUP BY 1 ORDER BY n DESC, 1 "
        f"LIMIT {int(most)}"
    )
    return list(zip(found["value"].to_pylist(), found["n"].to_pylist(), strict=True))


def histogram(rows: RunRows, column: str, *, bins: int = 24) -> Mapping[str, Any] | None:
    """How the numbers of a column are spread; None where there are none.

    Args:
        rows: of a run.
        column: of numbers, or SQL.
        bins: how many parts there are between the lowest and the highest.

    Returns:
        `low`, `high` and the `counts` of each part.

    Raises:
        InputError: if there is no such column, or it holds no numbers.
    """
    rows.opened.check_words(column)
    own = f"(SELECT ({column}\n)::DOUBLE AS x FROM ({rows.question})) WHERE isfinite(x)"
    ends = rows.opened.ask(f"SELECT min(x) AS low, max(x) AS high FROM {own}").to_pylist()[0]
    low, high = ends["low"], ends["high"]
    if low is None:
        return None
    width = (high - low) / bins or 1.0
    found = rows.opened.ask(
        f"SELECT least(floor((x - {low!r}) / {width!r}), {bins - 1})::INT AS part, count(*) AS n FROM {own} GROUP BY 1"
    ).to_pylist()
    counts = {one["part"]: one["n"] for one in found}
    return {"low": low, "high": high, "counts": [counts.get(part, 0) for part in range(bins)]}


def points(
    rows: RunRows, x: str, y: str, *, colour: str | None = None, most: int = 20_000, seed: int = 0
) -> Any:
    """Rows as points of a plane; of more than `most` some by chance, the same for the same seed.

    Args:
        rows: of a run.
        x: column, or SQL, of numbers.
        y: likewise.
        colour: column, or SQL, of a further value; None for none.
        most: points at most.
        seed: of the draw.

    Returns:
        an Arrow table of `id`, `row`, `x`, `y` and `colour`; rows without one of the two numbers are left out.

    Raises:
        InputError: if there is no such column, or it holds no numbers.
    """
    if most < 1:
        raise InputError(f"most={most}: expected a number of points, at least 1.")
    for words in (x, y, *([colour] if colour else [])):
        rows.opened.check_words(words)
    of = f", ({colour}\n) AS colour" if colour else ", NULL AS colour"
    own = (
        f"SELECT id, row, ({x}\n)::DOUBLE AS x, ({y}\n)::DOUBLE AS y{of} FROM ({rows.question}) "
        f"WHERE isfinite(x) AND isfinite(y)"
    )
    drawn = f"SELECT * FROM ({own}) ORDER BY hash(id, row, {int(seed)}) LIMIT {int(most)}"
    return rows.opened.ask(f"SELECT * FROM ({drawn}) ORDER BY id, row")
