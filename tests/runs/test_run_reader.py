"""Questions to a run: rows by SQL, maps, explanations, comparisons, sheets; and a store with many rows."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import camscope
from camscope import Explainer, render
from camscope.arrays import to_numpy
from camscope.errors import ImageError, InputError
from camscope.images import find_photos
from camscope.runs import RunRows, run
from camscope.runs.finishing import finish
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore
from tests.runs.conftest import write_photos
from tests.runs.many_rows import write_many


@pytest.fixture(scope="module")
def rows(finished) -> RunRows:
    return camscope.runs.open(finished)


@pytest.fixture(scope="module")
def one(rows) -> RunRows:
    """One row for each image."""
    return rows.where("method = 'gradcam' AND target_number = 0")


@pytest.fixture(scope="module")
def table(finished) -> pd.DataFrame:
    """What pandas reads by itself."""
    whole = pd.read_parquet(finished / "shards").sort_values(["id", "row"], ignore_index=True)
    index = pd.read_parquet(finished / "index.parquet")[["id", "row", "similarity"]]
    return whole.merge(index, on=["id", "row"], how="left")


# ------------------------------------------------------------------ which rows


def test_all_rows_are_those_that_pandas_reads(rows, table):
    found = rows.to_pandas(maps=True)
    assert len(rows) == len(found) == len(table) == 104
    for name in table.columns.drop(["map", "geometry"]):
        assert found[name].astype(str).tolist() == table[name].astype(str).tolist(), name
    assert [dict(row)["id"] for row in rows] == table["id"].tolist()


@pytest.mark.parametrize(
    ("condition", "same"),
    [
        ("label != top1", lambda t: t.label != t.top1),
        ("ring_share > 0.5 AND status = 'ok'", lambda t: t.ring_share > 0.5),
        ("id IN (3, 5)", lambda t: t.id.isin([3, 5])),
        ("similarity < 0.4", lambda t: t.similarity < 0.4),
        ("label_index IS NULL", lambda t: t.label_index.isna()),
    ],
)
def test_where(condition, same, rows, table):
    found = rows.where(condition).to_pandas()
    wanted = table[same(table)]
    assert found[["id", "row"]].to_numpy().tolist() == wanted[["id", "row"]].to_numpy().tolist()
    assert len(rows.where(condition).where("row = 0")) == (wanted.row == 0).sum()


@pytest.mark.parametrize("column", ["ring_share", "similarity", "top1_probability", "source", "label_index"])
@pytest.mark.parametrize("descending", [False, True])
def test_sort_and_pages(column, descending, rows, table):
    """Pages together are the whole, in the same order, and what has no value comes last."""
    ordered = rows.sort(column, descending=descending)
    wanted = table.sort_values(
        [column, "id", "row"], ascending=[not descending, True, True], na_position="last"
    )
    keys = wanted[["id", "row"]].to_numpy().tolist()
    assert ordered.to_pandas()[["id", "row"]].to_numpy().tolist() == keys
    pages = [ordered.limit(30, offset=start).to_pandas() for start in range(0, 120, 30)]
    assert pd.concat(pages)[["id", "row"]].to_numpy().tolist() == keys
    assert [len(ordered.limit(30, offset=start)) for start in range(0, 120, 30)] == [30, 30, 30, 14]


def test_a_page_is_the_rows_themselves(rows, table):
    found = rows.where("row = 1").sort("area").limit(5).to_pandas(maps=True)
    wanted = table[table.row == 1].sort_values(["area", "id"]).head(5)
    assert found.source.tolist() == wanted.source.tolist()
    assert found.similarity.tolist() == wanted.similarity.tolist()
    np.testing.assert_array_equal(np.stack(found["map"]), np.stack(wanted["map"]).astype(np.float32))


def test_a_condition_after_a_page_is_of_the_page(rows):
    page = rows.sort("area", descending=True).limit(10)
    assert set(page.where("row >= 0").to_pandas()["id"]) == set(page.to_pandas()["id"])
    assert len(page.limit(3)) == 3
    assert page.sort("id").to_pandas()["id"].is_monotonic_increasing


def test_a_sample_is_the_same_for_the_same_seed(rows):
    first, again, other = (rows.sample(9, seed=seed).to_pandas() for seed in (1, 1, 2))
    assert len(first) == 9
    assert first.equals(again)
    assert not first.equals(other)
    assert len(rows.sample(1000)) == 104


def test_what_is_no_question_teaches(rows, one):
    for ask, said in (
        (lambda: rows.where("lable != top1"), "no column 'lable'. Did you mean 'label'"),
        (lambda: rows.where('label = "bee"'), "stands in single quotes: 'bee'"),
        (lambda: rows.where("label !="), "no question that DuckDB understands: Parser Error"),
        (lambda: rows.sort("rings"), "Did you mean 'ring_share'"),
        (lambda: rows.where("id IN (SELECT 1 FROM read_csv('/etc/passwd'))"), "Permission Error"),
        (lambda: rows.where("map[1] > 0"), "nothing to ask by"),
        (lambda: rows.limit(-1), "0 or more"),
        (lambda: rows.mean_maps(), r"Choose one: rows.where\(\"method = 'gradcam'\"\).mean_maps"),
        (lambda: one.mean_maps(by="labl"), "Did you mean 'label'"),
        (lambda: rows.explanation(26), "no image 26 .* ids 0 to 25"),
        (lambda: rows.explanation("a.png"), "'a.png' is no id"),
        (lambda: one.maps([4, 99]), "no image 99 among these rows"),
        (lambda: rows.compare(rows), "several methods"),
        (lambda: one.compare(rows.path), "takes the rows of a run"),
        (lambda: one.where("id < 0").mean_maps(), "no map among these rows"),
        (lambda: one.where("id < 0").sheet(), "nothing to show"),
    ):
        with pytest.raises(InputError, match=said):
            ask()


# ------------------------------------------------------------------ what they hold


def test_maps_come_in_the_order_asked_for(one, explainer, folder):
    paths = find_photos([str(folder)])
    e = explainer([paths[i] for i in (5, 3)])
    raw = to_numpy(e.maps())[:, 0]
    np.testing.assert_allclose(one.maps([5, 3]), raw, atol=2**-10 * abs(raw).max())
    assert one.maps().shape == (26, 8, 8)
    np.testing.assert_array_equal(one.maps()[[5, 3]], one.maps([5, 3]))
    np.testing.assert_array_equal(one.sort("id", descending=True).maps(), one.maps()[::-1])
    assert one.where("id < 0").maps().shape[0] == 0


def test_mean_maps_are_the_means(one):
    maps, labels = np.maximum(one.maps(), 0), one.to_pandas().label
    scaled = maps / maps.max(axis=(1, 2), keepdims=True)
    means = one.mean_maps()
    assert list(means) == sorted(set(labels))
    for label, mean in means.items():
        np.testing.assert_allclose(mean.map, scaled[labels == label].mean(axis=0), rtol=1e-5)
        assert mean.count == (labels == label).sum()


def test_similarity_is_to_the_mean_map_of_the_class(rows):
    for method in ("gradcam", "layercam"):
        own = rows.where(f"method = '{method}'")
        table, maps, means = own.to_pandas(), np.maximum(own.maps(), 0), own.mean_maps(by="target")
        mean = np.stack([means[target].map for target in table.target])
        cosine = (maps * mean).sum((1, 2)) / np.sqrt((maps**2).sum((1, 2)) * (mean**2).sum((1, 2)))
        np.testing.assert_allclose(table.similarity, cosine, rtol=1e-4)


def test_the_unusual_are_the_least_similar_of_each_class(one):
    found, table = one.unusual(2, by="label").to_pandas(), one.to_pandas()
    for label, group in table.groupby("label"):
        assert found[found.label == label].similarity.tolist() == group.similarity.nsmallest(2).tolist()


def test_an_explanation_is_that_of_the_explainer(rows, explainer, folder):
    """With the photo read again, and all it can do."""
    path = find_photos([str(folder)])[7]
    e = explainer(path, methods=["gradcam", "layercam"], targets=camscope.TopK(2))
    again = rows.explanation(7)
    assert again.raw.keys() == e.raw.keys()
    for key in e.raw:
        raw = to_numpy(e.raw[key])
        np.testing.assert_allclose(again.raw[key], raw, atol=2**-10 * abs(raw).max())
        np.testing.assert_allclose(again.photo_heatmaps(0, *key), e.photo_heatmaps(0, *key), atol=2e-3)
    assert again.targets == e.targets
    assert again.labels == ["bee"]
    assert again.status == e.status
    assert again.class_names == tuple(e.class_names)
    for mine, theirs in zip(again.top(5), e.top(5), strict=True):
        assert mine[:2] == theirs[:2]
        np.testing.assert_allclose(mine[2:], theirs[2:], rtol=1e-5)
    assert np.asarray(again.input_image(0).picture).tolist() == np.asarray(e.input_image(0).picture).tolist()
    assert again.overlay(method="gradcam").size == e.overlay(method="gradcam").size
    json.dumps(again.summary())


def test_a_photo_that_changed_is_not_shown_under_maps_of_another(explainer, tmp_path):
    photos = write_photos(tmp_path / "photos", 3)
    run(photos, model=explainer, out=tmp_path / "run", workers=1, progress=False)
    e = camscope.runs.open(tmp_path / "run").explanation(0)
    shutil.copy(photos / "bee" / "1.png", photos / "ant" / "0.png")
    with pytest.raises(ImageError, match="has changed since it was explained"):
        e.input_image(0)
    assert e.heatmaps().shape == (1, 1, 32, 32)


def test_failures_are_rows_that_can_be_asked(explainer, tmp_path):
    photos = write_photos(tmp_path / "photos", 4)
    (photos / "bee" / "1.png").write_bytes(b"none")
    run(photos, model=explainer, out=tmp_path / "run", workers=1, progress=False)
    rows = camscope.runs.open(tmp_path / "run")
    (failure,) = rows.failures
    assert failure["source"].endswith("1.png")
    assert "no image that Pillow can read" in failure["reason"]
    assert (len(rows), len(rows.maps())) == (4, 3)
    for ask in (lambda: rows.explanation(failure["id"]), lambda: rows.maps([failure["id"]])):
        with pytest.raises(InputError, match="no image that Pillow can read"):
            ask()
    assert len(rows.mean_maps(by="label")) == 3


def test_comparing_two_models(folder, explainer, finished, one, tmp_path, tiny_cnn):
    """The same weights agree in everything; of another head it is said who changed its mind."""
    same = one.compare(one)
    assert same.summary() == {
        "compared": 26, "changed": 0, "similarity": pytest.approx(1), "only_first": 0, "only_second": 0
    }  # fmt: skip
    tiny_cnn.head.weight.data *= -1
    other = Explainer(
        tiny_cnn, preprocessing=explainer.preprocessing, class_names=Plan.read(finished).class_names
    )
    run(folder, model=other, out=tmp_path / "other", workers=1, progress=False)
    theirs = camscope.runs.open(tmp_path / "other")
    found = one.compare(theirs)
    mine, yours = one.to_pandas(), theirs.to_pandas()
    assert len(found) == 26
    assert found.changed.to_pandas().source.tolist() == mine.source[mine.top1 != yours.top1].tolist()
    maps = [np.maximum(rows.maps(), 0) for rows in (one, theirs)]
    cosine = (maps[0] * maps[1]).sum((1, 2)) / np.sqrt(
        (maps[0] ** 2).sum((1, 2)) * (maps[1] ** 2).sum((1, 2))
    )
    np.testing.assert_allclose(found.to_pandas().similarity, cosine, rtol=1e-4)
    run(folder / "ant", model=other, out=tmp_path / "ants", workers=1, progress=False)
    some = one.compare(camscope.runs.open(tmp_path / "ants"))
    assert (len(some), some.only_first, some.only_second) == (7, 19, 0)


def test_comparing_two_methods(rows, one):
    other = rows.where("method = 'layercam' AND target_number = 0")
    found = one.compare(other)
    maps = [np.maximum(each.maps(), 0) for each in (one, other)]
    cosine = (maps[0] * maps[1]).sum((1, 2)) / np.sqrt(
        (maps[0] ** 2).sum((1, 2)) * (maps[1] ** 2).sum((1, 2))
    )
    np.testing.assert_allclose(found.to_pandas().similarity, cosine, rtol=1e-4)
    least = found.sort("similarity").to_pandas().similarity
    assert least.is_monotonic_increasing
    with pytest.raises(InputError, match="no column 'sim'"):
        found.sort("sim")


def test_a_sheet_says_of_each_row_what_it_was_ordered_by_and_which_it_is(one, monkeypatch):
    drawn = []
    monkeypatch.setattr(render, "picture", lambda rows, **style: drawn.extend(itertools.chain(*rows)))
    rows = one.where("status = 'ok'").sort("ring_share").limit(3)
    rows.sheet()
    known = rows.to_pandas()
    for panel, (_, row) in zip(drawn, known.iterrows(), strict=True):
        numbers, which = panel.subtitle.splitlines()
        assert numbers.endswith(f"% · ring_share {row['ring_share']:.3f}")
        assert which.startswith(Path(row["source"]).name)
        assert which.endswith(f" · is {row['label']}") == (row["label"] != row["top1"])


def test_a_sheet_has_a_picture_for_each_row(one):
    small, large = one.limit(2).sheet(), one.limit(6).sheet(columns=3)
    assert isinstance(small, Image.Image)
    assert large.height > 1.5 * small.height
    assert len(small.getcolors(1 << 20)) > 100


def test_a_run_that_is_not_complete_can_be_asked(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "index.parquet").unlink()
    (tmp_path / "run" / "shards" / "shard-0000001.parquet").unlink()
    rows = camscope.runs.open(tmp_path / "run")
    assert (len(rows), rows.is_complete) == (104 - 32, False)
    assert "3 of 4 shards are there" in repr(rows)
    assert "similarity" not in rows.columns
    with pytest.raises(InputError, match=r"comes when .* is complete"):
        rows.sort("similarity")
    with pytest.raises(InputError, match=r"comes when .* is complete"):
        rows.unusual()
    with pytest.raises(InputError, match="no image 9 "):
        rows.explanation(9)
    shutil.rmtree(tmp_path / "run" / "shards")
    with pytest.raises(InputError, match="no finished shard yet"):
        camscope.runs.open(tmp_path / "run")


# ------------------------------------------------------------------ many rows


def test_a_store_of_many_rows_is_paged(finished, tmp_path):
    """6,000 rows in the layout of a real run; what comes is what was put there."""
    path = write_many(finished, tmp_path / "many", 6_000, shard_size=1000)
    before = camscope.runs.open(path)
    finish(RunStore(path), Plan.read(path))
    rows = camscope.runs.open(path)
    assert rows.columns == [*before.columns[:-3], "similarity", *before.columns[-3:]]
    assert rows.to_arrow(maps=True).drop_columns("similarity").equals(before.to_arrow(maps=True))
    assert len(rows) == len(before) == 6_000
    page = rows.where("top1 = 'bee'").sort("ring_share", descending=True).limit(50, offset=100)
    found = page.to_pandas(maps=True)
    everything = rows.to_pandas()
    wanted = everything[everything.top1 == "bee"].sort_values("ring_share", ascending=False)[100:150]
    assert found.id.tolist() == wanted.id.tolist()
    np.testing.assert_allclose(np.stack(found["map"])[:, 0], (found.id % 1000) / 1024, rtol=1e-6)
    assert page.maps().shape == (50, 7, 7)
    assert sum(mean.count for mean in rows.mean_maps(by="top1").values()) == 6_000 - len(rows.failures) - 6


def test_the_same_plan_is_known_again(finished):
    plan = Plan.read(finished)
    assert Plan.read(RunStore(finished).path) == plan
    other = dataclasses.replace(plan, asked=dataclasses.replace(plan.asked, share="1/2"), batch=3, created="")
    assert other.identity == plan.identity
    versions = {**plan.asked.versions, "torch": plan.asked.versions["torch"].partition("+")[0] + "+cu999"}
    assert (
        dataclasses.replace(plan, asked=dataclasses.replace(plan.asked, versions=versions)).identity
        == plan.identity
    )
    newer = {**versions, "torch": "99"}
    asked = dataclasses.replace(plan.asked, versions=newer)
    assert dataclasses.replace(plan, asked=asked).identity != plan.identity
    assert "torch" in " ".join(plan.asked.changes(asked))
