"""Reports of a run: the stored maps of its rows, in their order, also where the photos are gone."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

import camscope
from camscope.cli.app import main
from tests.app.test_report import Read

pytest.importorskip("duckdb", reason="needs the extra runs")


def test_rows_of_a_run_become_a_report(run_folder, tmp_path):
    rows = camscope.runs.open(run_folder).where("label != top1").sort("ring_share", descending=True)
    (file,) = camscope.report(rows, tmp_path / "r.html")
    view = Read(file.read_text("utf-8")).view
    ids = list(dict.fromkeys(rows.to_arrow()["id"].to_pylist()))
    assert len(view["photos"]) == len(ids)
    for photo, id in zip(view["photos"], ids, strict=True):
        e = rows.explanation(id)
        assert photo["wrong"]
        for one in photo["maps"]:
            values = np.frombuffer(base64.b64decode(one["values"]), "<f4").reshape(one["shape"])
            np.testing.assert_allclose(
                values, e.raw[one["method"], one["layer"]][0, one["target"]], rtol=1e-6
            )


def test_the_command_takes_a_run_and_says_what_is_in_the_report(run_folder, tmp_path, capsys):
    out = tmp_path / "r.html"
    assert main(["report", str(run_folder), "--out", str(out), "--limit", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "photos": 3, "of": 12, "left_out": [], "without_photo": 0, "files": [str(out)],
    }  # fmt: skip
    for words, said in {
        ("--method", "gradcam"): "are made already",
        ("--where", "labl = 'x'"): "Did you mean 'label'",
        ("--where", "label = 'x'"): "nothing to report on",
    }.items():
        assert main(["report", str(run_folder), "--out", str(tmp_path / "n.html"), *words]) != 0
        assert said in " ".join(capsys.readouterr().err.split())
