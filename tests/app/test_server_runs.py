"""Runs and trainings through the server: the rows are those of the library, what is being written is followed, and SQL
reads nothing else and writes nothing."""

from __future__ import annotations

import base64
import shutil
import threading
import time

import numpy as np
import pytest

import camscope
from camscope.errors import InputError
from tests.app.conftest import Served, serving

pytest.importorskip("fastapi", reason="needs the app extra")
pytest.importorskip("duckdb", reason="needs the runs extra")


@pytest.fixture(scope="module")
def rows(run_folder):
    return camscope.runs.open(run_folder)


def numbers(grid: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(grid["values"]), "<f4").reshape(grid["shape"])


def test_pages_are_those_of_the_library(served, rows):
    condition = "label != top1 AND method = 'gradcam'"
    chosen = rows.where(condition).sort("ring_share", descending=True)
    found = served.get(
        "/api/runs/r1/rows", where=condition, sort="ring_share", descending=True, limit=3, offset=1, maps=True
    )
    assert found["count"] == len(chosen) > 4
    assert found["complete"]
    own = chosen.limit(3, offset=1).to_arrow().to_pylist()
    assert [(row["id"], row["row"]) for row in found["rows"]] == [(row["id"], row["row"]) for row in own]
    maps = chosen.limit(3, offset=1).maps()
    for shown, raw in zip(found["rows"], maps, strict=True):
        np.testing.assert_allclose(numbers(shown["map"]), raw, rtol=1e-6)
        assert shown["geometry"]["photo_size"] == [40, 50]
    assert "map" not in served.get("/api/runs/r1/rows", limit=1)["rows"][0]
    assert served.post("/api/runs/r1/rows", images=[2, 5])["count"] == 8
    assert served.post("/api/runs/r1/rows", images=[])["count"] == 0


def test_facets_count_all_rows(served, rows):
    found = served.get("/api/runs/r1/facets")
    assert found["count"] == len(rows) == 48
    assert {one["value"]: one["count"] for one in found["categories"]["method"]} == {
        "gradcam": 24,
        "hirescam": 24,
    }
    assert found["wrong"] == len(rows.where("label != top1"))
    assert found["labelled"]
    for spread in found["numbers"].values():
        assert sum(spread["counts"]) <= 48
        assert spread["low"] <= spread["high"]
    table = rows.to_arrow()["ring_share"].to_pylist()
    assert found["numbers"]["ring_share"]["low"] == pytest.approx(min(table))
    assert sum(found["numbers"]["ring_share"]["counts"]) == len(table)


def test_a_row_is_a_view_whose_photo_can_be_explained_anew(served, rows):
    view = served.get("/api/runs/r1/rows/3")
    e = rows.explanation(3)
    (photo,) = view["photos"]
    assert photo["name"] == "7.png"
    assert len(photo["maps"]) == 4
    for one in photo["maps"]:
        raw = e.raw[one["method"], one["layer"]][0, one["target"]]
        np.testing.assert_allclose(numbers(one), raw, rtol=1e-6)
    assert served.client.get(photo["picture"]).headers["content-type"] == "image/webp"
    again = served.post("/api/explain", model="m1", photo=photo["id"], methods=["gradcam"], layers=["pooled"])
    assert again["photos"][0]["top"][0]["name"] == photo["top"][0]["name"]
    assert served.get("/api/runs/r1/rows/3")["photos"][0]["id"] == photo["id"]
    assert served.client.get("/api/runs/r1/photos/3").headers["content-type"] == "image/webp"
    assert "no image 99" in served.client.get("/api/runs/r1/rows/99").json()["error"]


def test_mean_maps_and_points(served, rows):
    condition = "method = 'gradcam' AND target_number = 0"
    found = served.get("/api/runs/r1/means", by="label", where=condition)
    own = rows.where(condition).mean_maps(by="label")
    assert [one["value"] for one in found["means"]] == list(own)
    for one in found["means"]:
        np.testing.assert_allclose(numbers(one["map"]), own[one["value"]].map, rtol=1e-5)
        assert one["count"] == own[one["value"]].count
    mixed = served.client.get("/api/runs/r1/means")
    assert mixed.status_code == 422
    assert "not to be mixed" in mixed.json()["error"]
    cloud = served.get(
        "/api/runs/r1/scatter", x="centroid_x", y="top1_probability", colour="label", where=condition
    )
    table = rows.where(condition).to_arrow()
    assert cloud["points"]["id"] == table["id"].to_pylist()
    np.testing.assert_allclose(cloud["points"]["x"], table["centroid_x"].to_pylist())
    np.testing.assert_allclose(cloud["points"]["y"], table["top1_probability"].to_pylist())
    assert cloud["points"]["colour"] == table["label"].to_pylist()
    some = served.get("/api/runs/r1/scatter", limit=7)
    assert (len(some["points"]["id"]), some["sampled"], some["count"]) == (7, True, 48)
    assert served.get("/api/runs/r1/scatter", limit=7) == some
    assert "DOUBLE" in served.client.get("/api/runs/r1/scatter", params={"x": "label"}).json()["error"]


FOREIGN = [
    "1=1)); COPY rows TO '{out}'; SELECT ((1",
    "1=1) UNION ALL SELECT * FROM (rows WHERE (1=1",
    "1=1)) --",
    "1=1; DROP VIEW rows",
    "label = (SELECT content FROM read_text('/etc/passwd'))",
    "id IN (SELECT 1 FROM read_csv('/etc/passwd'))",
    "label = (SELECT content FROM read_text('{run}/../secret.txt'))",
    "id IN (SELECT 1 FROM '/etc/passwd')",
    "id IN (SELECT 1 FROM read_parquet('http://127.0.0.1:1/x'))",
    "label = getenv('HOME')",
    "1=1 /*",
    "label = 'a",
    "labl = 'red'",
    "",
]


@pytest.mark.parametrize("place", ["where", "sort", "by", "x"])
@pytest.mark.parametrize("words", FOREIGN[:-1])
def test_sql_reads_nothing_else_and_writes_nothing(served, run_folder, tmp_path, place, words):
    out = tmp_path / "stolen.parquet"
    (run_folder.parent / "secret.txt").write_text("secret")
    before = sorted(run_folder.rglob("*"))
    text = words.replace("{out}", str(out)).replace("{run}", str(run_folder))
    path = {"where": "rows", "sort": "rows", "by": "means", "x": "scatter"}[place]
    answer = served.client.get(f"/api/runs/r1/{path}", params={place: text, "limit": 3})
    assert answer.status_code == 422, answer.text
    assert answer.json()["kind"] == "InputError"
    assert "secret" not in answer.text.replace("secret.txt", "")
    assert not out.exists()
    assert sorted(run_folder.rglob("*")) == before
    assert served.get("/api/runs/r1/rows", limit=1)["count"] == 48


def test_a_condition_may_be_any_expression(rows):
    assert len(rows.where("label = 'red' -- the reds")) == len(rows.where("label = 'red'"))
    assert len(rows.where("id IN (SELECT id FROM rows WHERE label = 'red')")) == len(
        rows.where("label = 'red'")
    )
    assert len(rows.where("label LIKE '%)%' OR label[1] = 'r'")) == len(rows.where("label = 'red'"))
    with pytest.raises(InputError, match="DuckDB understands"):
        rows.where("1=1) OR (1=1")


def test_a_question_that_takes_too_long_is_given_up(served, monkeypatch):
    from camscope.app.serving import held_runs

    monkeypatch.setattr(held_runs, "_LONGEST", 0.3)
    endless = "(SELECT count(*) FROM range(1000000000000)) > 1"
    answer = served.client.get("/api/runs/r1/rows", params={"where": endless})
    assert "too long" in answer.json()["error"]


def test_a_question_that_nobody_waits_for_is_given_up(served):
    import httpx

    endless = "(SELECT count(*) FROM range(1000000000000)) > 2"
    with pytest.raises(httpx.ReadTimeout):
        served.client.get("/api/runs/r1/rows", params={"where": endless}, timeout=0.3)
    began = time.monotonic()
    assert served.get("/api/runs/r1/rows", limit=1)["count"] == 48
    assert time.monotonic() - began < 15  # and not the 20 s that a question may take


def test_a_run_that_is_being_written_is_followed(run_folder, tmp_path):
    from camscope.app.serving import Session

    folder = tmp_path / "growing"
    shutil.copytree(run_folder, folder)
    shards = sorted((folder / "shards").iterdir())
    late = [(shard, shard.read_bytes()) for shard in shards[1:]]
    (folder / "index.parquet").unlink()
    for shard, _ in late:
        shard.unlink()
    session = Session()
    assert session.folders.add(folder)
    with serving(session) as served:
        found = served.get("/api/runs/r1/rows", limit=0)
        assert (found["count"], found["complete"]) == (16, False)
        assert served.get("/api/state")["runs"][0]["complete"] is False
        for shard, content in late:
            shard.write_bytes(content)
        found = served.get("/api/runs/r1/rows", limit=0)
        assert (found["count"], found["complete"]) == (48, True)
        assert served.get("/api/state")["runs"][0]["rows"] == 48


def test_many_ask_one_run_at_once(served: Served):
    found: list[int] = []

    def ask(number: int) -> None:
        path = ("rows", "facets", "scatter", "rows/3")[number % 4]
        found.append(served.client.get(f"/api/runs/r1/{path}").status_code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 24


def test_a_training_comes_step_by_step(served, training_folder):
    history = camscope.History.open(training_folder)
    found = served.get("/api/trainings/t1")
    assert [one["step"] for one in found["moments"]] == history.steps.tolist()
    assert [one["label"] for one in found["samples"]] == ["circle", "square", "cross"]
    for i, sample in enumerate(found["samples"]):
        assert sample["picture"].startswith("data:image/png;base64,")
        for number, step in enumerate(sample["steps"]):
            np.testing.assert_allclose(numbers(step["map"]), history.maps[number, i, 0], rtol=1e-6)
            assert step["probability"] == pytest.approx(float(history.probabilities[number, i, 0]))
        low, high = sample["range"]
        assert low == pytest.approx(float(history.maps[:, i, 0].min()))
        assert high == pytest.approx(float(history.maps[:, i, 0].max()))
    assert (
        "the training has 1" in served.client.get("/api/trainings/t1", params={"target": 1}).json()["error"]
    )
    assert served.client.get("/api/trainings/t2").status_code == 404


def test_what_is_no_run_and_no_training_is_told_apart(tmp_path, run_folder):
    from camscope.app.serving import Session

    session = Session()
    assert not session.folders.add(tmp_path)
    with pytest.raises(InputError, match=r"Name them: camscope app '.*a run'"):
        session.folders.add(run_folder.parent)
    shutil.copytree(run_folder, tmp_path / "broken")
    (tmp_path / "broken" / "plan.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        session.folders.add(tmp_path / "broken")
