"""A run opens with tools that know nothing of camscope: what `docs/runs.md` shows is run as it stands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import camscope

PAGE = Path(__file__).parents[2] / "docs" / "runs.md"


def shown(tool: str) -> str:
    """The code that the page shows for a tool."""
    part = PAGE.read_text(encoding="utf-8").partition("## Opened by other tools")[2]
    (code,) = re.findall(rf"^{tool}[^\n]*:\n\n```python\n(.*?)```", part, re.DOTALL | re.MULTILINE)
    return code


@pytest.fixture
def names(finished, tmp_path, monkeypatch):
    """Runs the code of a tool in a folder that the run is in, and gives the names that it made."""
    shutil.copytree(finished, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def names(tool: str) -> dict:
        made: dict = {}
        exec(shown(tool), made)
        return made

    return names


def test_pandas(names, finished):
    made = names("pandas")
    rows = camscope.runs.open(finished)
    assert len(made["table"]) == len(rows) == 104
    first = rows.where(f"id = {made['one'].id} AND row = {made['one'].row}")
    np.testing.assert_array_equal(made["raw"], first.maps()[0])


def test_polars(names, finished):
    pytest.importorskip("polars")
    table = names("Polars")["table"]
    mine = pd.read_parquet(finished / "shards")
    assert table["id"].to_list() == mine.id.tolist()
    np.testing.assert_array_equal(np.stack(table["map"].to_list()), np.stack(mine["map"]))


def test_duckdb(names, finished):
    import duckdb

    names("DuckDB")
    counted = duckdb.sql("SELECT count(*), count(similarity) FROM 'run/index.parquet'").fetchall()
    assert counted == [(104, 104)]


def test_datasets(names, finished):
    pytest.importorskip("datasets")
    data = names("datasets")["data"]
    assert (len(data), data[3]["id"]) == (104, pd.read_parquet(finished / "shards").id[3])
