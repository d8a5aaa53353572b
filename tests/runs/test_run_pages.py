"""Pages of a run: the rows that SQL gives, in its order; another page reads no file but those of its rows."""

from __future__ import annotations

import shutil
import subprocess
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import camscope
from camscope.errors import InputError
from camscope.runs import RunRows, sorted_keys
from camscope.runs.finishing import finish
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore
from camscope.runs.sorted_keys import KEY, Order, SortedKeys
from tests.runs.many_rows import write_many


@pytest.fixture(scope="module")
def many(finished, tmp_path_factory):
    """2,000 rows in shards of 100: read only."""
    path = write_many(finished, tmp_path_factory.mktemp("many") / "many", 2000, shard_size=100)
    finish(RunStore(path), Plan.read(path))
    return path


@pytest.fixture
def rows(many) -> RunRows:
    return camscope.runs.open(many)


SORTED = [
    ("ring_share", True), ("top1", False), ("source", True), ("label_index", False), ("similarity", True),
    ("target_index", True), ("-area", False), ("status", True), ("id % 7", False), ("top1_probability * 2.5", True),
]  # fmt: skip


@pytest.mark.parametrize(("by", "descending"), SORTED)
@pytest.mark.parametrize("few", [2, 20_000])
def test_pages_are_what_sql_gives(by, descending, few, rows, monkeypatch):
    """Also where a text has so many values that they are not all sorted for the first page."""
    monkeypatch.setattr(sorted_keys, "_FEW_VALUES", few)
    monkeypatch.setattr(sorted_keys, "_NEAR", 60)
    condition = "label != top1"
    way = "DESC" if descending else "ASC"
    sql = f"SELECT id, row FROM rows WHERE {condition} ORDER BY {by} {way} NULLS LAST, id, row"
    expected = rows.opened.ask(sql).to_pylist()
    for offset in (0, 50, 1200, len(expected) - 3, len(expected) + 5):
        page = rows.page(condition, by, descending=descending, offset=offset, limit=7)
        assert [{"id": row["id"], "row": row["row"]} for row in page.rows] == expected[offset : offset + 7]
        assert (page.count, page.offset, len(page)) == (len(expected), offset, len(page.rows))


@pytest.mark.parametrize(("few", "most_text"), [(20_000, 0), (0, 1 << 20), (0, 0)])
def test_any_numbers_and_texts_are_in_the_order_of_sql(few, most_text, rng, monkeypatch):
    """By the numbers of a text's values, by the texts themselves, and by DuckDB."""
    for name, value in {"_FEW_VALUES": few, "_MOST_TEXT": most_text, "_NEAR": 0}.items():
        monkeypatch.setattr(sorted_keys, name, value)
    values = rng.choice([-np.inf, -2.5, -0.0, 0.0, 1e-40, 3, np.inf, np.nan, None], 500).tolist()
    names = rng.choice(["a", "b", "é", "", None, "Z"], 500).tolist()
    table = pa.table(
        {
            "id": pa.array(rng.permutation(500)),
            "row": pa.array([0] * 500, pa.int32()),
            "value": pa.array(values, pa.float32()),
            "name": pa.array(names),
            "path": pa.array(
                [None if one is None else f"/é/folder-{one}{i % 7}" for i, one in enumerate(names)]
            ),
            "none": pa.nulls(500, pa.float32()),
            "many": pa.array([None if one is None else len(one) for one in names], pa.int64()),
        }
    )
    ask = duckdb.connect().register("data", table).sql
    keys = SortedKeys(lambda sql: ask(sql).to_arrow_table(), lambda sql: ask(sql).to_arrow_reader(64))
    for by in ("value", "name", "path", "none", "many", "value > 0"):
        for descending in (False, True):
            order = (Order(by, descending),)
            found = keys.page("SELECT * FROM data", order, 0, 500, keep=True)
            sql = f"SELECT {KEY} FROM data ORDER BY {order[0]}, key"
            assert found.tolist() == ask(sql).to_arrow_table()["key"].to_pylist(), (by, descending)


def test_another_page_reads_only_the_shards_of_its_rows(many, tmp_path):
    shutil.copytree(many, tmp_path / "many")
    rows = camscope.runs.open(tmp_path / "many")
    first = rows.page(sort="ring_share", limit=5)
    others = {row["id"] // 100 for row in rows.page(sort="ring_share", offset=5, limit=5).rows}
    for shard in set(range(20)) - others:
        (tmp_path / "many" / "shards" / f"shard-{shard:07d}.parquet").unlink()
    again = rows.page(sort="ring_share", offset=5, limit=5, columns=["source", "ring_share"])
    assert again.table["ring_share"][0].as_py() >= first.rows[-1]["ring_share"]
    assert again.table.column_names == ["source", "ring_share"]
    assert again.count == 2000
    torn = next(iter(others))
    (tmp_path / "many" / "shards" / f"shard-{torn:07d}.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=f"shard-{torn:07d}.parquet' is damaged"):
        rows.page(sort="ring_share", offset=5, limit=5, columns=["source"])


def test_pages_of_a_run_that_is_not_complete(many, tmp_path):
    shutil.copytree(many, tmp_path / "many")
    (tmp_path / "many" / "shards" / "shard-0000003.parquet").unlink()
    rows = camscope.runs.open(tmp_path / "many")
    page = rows.page("id BETWEEN 298 AND 401", "id", descending=True)
    assert [row["id"] for row in page.rows] == [401, 400, 299, 298]
    assert "similarity" not in page.table.column_names


def test_the_large_columns_come_when_they_are_asked_for(rows):
    page = rows.page("id IN (3, 1250)", columns=["map", "id", "id", "similarity"])
    assert page.table.column_names == ["map", "id", "similarity"]
    assert [row["map"][0] for row in page.rows] == [3 / 1024, 250 / 1024]
    assert "map" not in rows.page(limit=1).table.column_names


def test_what_is_no_page_teaches(rows):
    with pytest.raises(InputError, match="0 or more"):
        rows.page(limit=-1)
    with pytest.raises(InputError, match=r"'ring'.* Did you mean"):
        rows.page(columns=["ring"])
    with pytest.raises(InputError, match="no column 'rings'"):
        rows.page(sort="rings")


def test_few_orders_are_kept(rows, monkeypatch):
    monkeypatch.setattr(sorted_keys, "_KEPT_BYTES", 3 * 4 * 2000)
    for by in ("area", "entropy", "ring_share", "label", "id"):
        rows.page(sort=by, limit=1)
    kept = [order[0].by for _, order in rows.opened.sorted_keys.kept]
    assert kept == ["ring_share", "label", "id"]


def test_a_page_does_not_import_pandas(many):
    code = (
        "import sys, camscope; page = camscope.runs.open(sys.argv[1]).page('label != top1', 'label');"
        "assert page.rows; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(many)], check=True)
