"""What a run keeps, that it keeps it, and what it refuses."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import camscope
from camscope import Explainer
from camscope.arrays import to_numpy
from camscope.errors import InputError, MethodError, MissingExtraError, TargetError
from camscope.images import find_photos
from camscope.runs import Done, run
from camscope.runs.run_plan import Plan
from camscope.runs.run_store import RunStore, mark_of
from camscope.surviving import held
from tests.runs.conftest import write_photos


def begin(folder, explainer, out, **options) -> Done:
    given = {"shard_size": 8, "batch": 4, "workers": 1, "progress": False, **options}
    return run(folder, model=explainer, out=out, **given)


def shards(out: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted((out / "shards").glob("*.parquet"))]


def files_in(out: Path) -> dict[str, bytes]:
    found = sorted(file for file in out.rglob("*") if file.is_file() and file.name != ".lock")
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in found}


def rows_in(out: Path) -> list[dict]:
    return parquet.read_table(out / "shards").sort_by([("id", "ascending"), ("row", "ascending")]).to_pylist()


# ------------------------------------------------------------------ what is kept


def test_rows_are_what_the_explainer_says(finished, folder, explainer):
    """All that a row has, against an explanation of the same photos made at once."""
    rows, paths = rows_in(finished), find_photos([str(folder)])
    assert len(rows) == 26 * 2 * 2
    e = explainer(paths[:4], methods=["gradcam", "layercam"], targets=camscope.TopK(2))
    for row in rows[: 4 * 4]:
        i, t = row["id"], row["target_number"]
        key = (row["method"], row["layer"])
        known = e.summary(i)
        assert row["source"] == paths[i]
        assert row["status"] == str(e.status[key][i][t]) == "ok"
        assert row["top_names"] == [one["name"] for one in known["top"]]
        np.testing.assert_allclose(row["top_logits"], [one["logit"] for one in known["top"]], rtol=1e-5)
        np.testing.assert_allclose(
            row["top_probabilities"], [one["probability"] for one in known["top"]], rtol=1e-5
        )
        assert (row["top1"], row["top1_index"]) == (known["top"][0]["name"], known["top"][0]["index"])
        assert (row["target"], row["target_index"]) == (
            known["targets"][t]["label"],
            known["targets"][t]["index"],
        )
        np.testing.assert_allclose(row["score"], known["targets"][t]["score"], rtol=1e-5)
        np.testing.assert_allclose(row["probability"], known["targets"][t]["probability"], rtol=1e-5)
        assert {"photo_size": (row["height"], row["width"]), **row["geometry"]} == {
            name: pytest.approx(value) for name, value in known["geometry"].items()
        }
        raw = to_numpy(e.raw[key])[i, t]
        kept = np.array(row["map"], np.float32).reshape(row["map_shape"]) * row["scale"]
        np.testing.assert_allclose(kept, raw, atol=2**-11 * abs(raw).max())
        np.testing.assert_allclose([row["low"], row["high"]], [raw.min(), raw.max()], rtol=1e-5)


def test_labels_are_classes_where_they_name_one(finished):
    """A folder's name is a synonym of a class's, written with an underscore; another is of none."""
    found = {(Path(row["source"]).parent.name, row["label"], row["label_index"]) for row in rows_in(finished)}
    assert found == {
        ("ant", "ant", 0),
        ("bee", "bee", 1),
        ("house_cat", "cat, house cat", 2),
        ("wolf", "wolf", None),
    }


def test_the_plan_says_what_made_the_run(finished, explainer):
    document = json.loads((finished / "plan.json").read_text())
    assert document["count"] == 26
    assert document["asked"]["weights_sha256"] == explainer.about["weights_sha256"]
    assert document["asked"]["methods"] == ["gradcam", "layercam"]
    assert document["at"] == ["last_relu"]
    assert set(document["asked"]["versions"]) >= {"camscope", "torch", "numpy"}
    assert Plan.read(finished).shards == 4


def test_a_run_on_which_nothing_is_left_does_nothing(folder, explainer, tmp_path):
    before = begin(folder, explainer, tmp_path / "run")
    stats = [file.stat() for file in sorted((tmp_path / "run" / "shards").iterdir())]
    after = begin(folder, explainer, tmp_path / "run")
    assert (before.progress.now, after.progress.now, after.complete) == (26, 0, True)
    assert [file.stat() for file in sorted((tmp_path / "run" / "shards").iterdir())] == stats


def test_targets_may_be_the_labels(folder, explainer, tmp_path):
    """An image whose label is no class fails, and is a row that says so."""
    begin(folder, explainer, tmp_path / "run", targets="labels")
    rows = rows_in(tmp_path / "run")
    assert {row["target"] == row["label"] for row in rows if row["status"] == "ok"} == {True}
    failed = [row for row in rows if row["status"] == "failed"]
    assert {row["label"] for row in failed} == {"wolf"}
    assert all("'wolf' is no class of the model" in row["reason"] for row in failed)


def test_a_broken_image_is_a_row_and_the_others_go_on(explainer, tmp_path):
    write_photos(tmp_path / "photos", 9)
    (tmp_path / "photos" / "ant" / "0.png").write_bytes(b"GIF89a nonsense")
    (tmp_path / "photos" / "bee" / "1.png").write_bytes(b"")
    done = begin(tmp_path / "photos", explainer, tmp_path / "run")
    assert (done.progress.failed, done.complete) == (2, True)
    failed = [row for row in rows_in(tmp_path / "run") if row["status"] == "failed"]
    assert [Path(row["source"]).name for row in failed] == ["0.png", "1.png"]
    assert "is empty (0 bytes)" in failed[1]["reason"]
    assert {row["map"] for row in failed} == {None}


# ------------------------------------------------------------------ shares


def test_shares_that_know_nothing_of_each_other_make_the_same_run(folder, explainer, tmp_path):
    begin(folder, explainer, tmp_path / "whole", shard_size=5)
    for n in (1, 2, 3):
        begin(folder, explainer, tmp_path / "parts" / str(n), shard_size=5, share=f"{n}/3")
    camscope.runs.merge([tmp_path / "parts"], tmp_path / "joined")
    whole, joined = (files_in(tmp_path / name) for name in ("whole", "joined"))
    assert whole.keys() == joined.keys() > {"index.parquet", "shards/shard-0000005.parquet"}
    differing = [name for name in whole if whole[name] != joined[name]]
    assert differing in ([], ["plan.json"])  # by when it was made, unless that was the same second
    assert begin(folder, explainer, tmp_path / "joined", shard_size=5).progress.now == 0


def test_shares_that_are_not_all_there_are_not_joined(folder, explainer, tmp_path):
    def merged(*names):
        camscope.runs.merge([tmp_path / name for name in names], tmp_path / "joined")

    for n in (1, 2):
        begin(folder, explainer, tmp_path / str(n), share=f"{n}/2")
    begin(folder, explainer, tmp_path / "other", share="2/2", targets="top2")
    with pytest.raises(InputError, match=r"Of 2 shares 1 are missing: 2/2"):
        merged("1")
    with pytest.raises(InputError, match="both the share 1/2"):
        merged("1", "1/../1")
    with pytest.raises(InputError, match="the targets: the default → top2"):
        merged("1", "other")
    sorted((tmp_path / "2" / "shards").glob("*.parquet"))[0].unlink()
    with pytest.raises(InputError, match="1 of its 2 shards are missing"):
        merged("1", "2")
    with pytest.raises(InputError, match="no share of a run"):
        camscope.runs.merge([folder], tmp_path / "joined")


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets": "top2"}, "the targets: the default → top2"),
        ({"methods": "layercam"}, "the methods: gradcam → layercam"),
        ({"layers": "body"}, "the layers: the default → body"),
        ({"seed": 3}, "the seed: 0 → 3"),
        ({"shard_size": 4}, "how many images make a shard: 8 → 4"),
    ],
)
def test_another_plan_is_refused_with_what_changed(options, said, folder, explainer, tmp_path):
    begin(folder, explainer, tmp_path / "run")
    with pytest.raises(InputError, match=f"{said}.*restart"):
        begin(folder, explainer, tmp_path / "run", **options)
    beside = begin(folder, explainer, tmp_path / "run", into=tmp_path / "beside", **options)
    assert (beside.path, beside.progress.now, beside.changed) == (tmp_path / "beside", 26, (said,))
    assert begin(folder, explainer, tmp_path / "run").progress.now == 0
    anew = begin(folder, explainer, tmp_path / "run", restart=True, **options)
    assert (anew.progress.now, anew.changed) == (26, (said,))


def test_a_new_run_is_beside_one_that_has_changed_alone(folder, explainer, tmp_path):
    out, new = tmp_path / "run", tmp_path / "new"
    with pytest.raises(InputError, match="There is no run"):
        begin(folder, explainer, out, into=new)
    begin(folder, explainer, out)
    with pytest.raises(InputError, match=r"Nothing has changed .* leave into= out"):
        begin(folder, explainer, out, into=new)
    other = write_photos(tmp_path / "photos", 3)
    done = begin(other, explainer, out, into=new)
    assert "The data have changed" in done.changed[0]
    assert begin(other, explainer, out, into=new).progress.now == 0  # said again, it goes on there


def test_a_restart_that_cannot_begin_takes_nothing_away(folder, explainer, tmp_path):
    begin(folder, explainer, tmp_path / "run")
    before = files_in(tmp_path / "run")
    with pytest.raises(camscope.CamscopeError):
        begin(folder, "timm:no_such_model", tmp_path / "run", restart=True)
    assert files_in(tmp_path / "run") == before


def test_images_that_failed_are_tried_again_where_that_is_asked_for(explainer, tmp_path):
    photos, out = write_photos(tmp_path / "photos", 24), tmp_path / "run"
    broken = photos / "bee" / "9.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    assert begin(photos, explainer, out).progress.failed == 1
    others = [file.stat() for file in sorted((out / "shards").iterdir())]
    broken.write_bytes(whole)
    assert begin(photos, explainer, out).progress.now == 0
    again = begin(photos, explainer, out, retry_failed=True)
    assert (again.progress.now, again.progress.failed, again.complete) == (8, 0, True)
    assert (
        sum(file.stat() == one for file, one in zip(sorted((out / "shards").iterdir()), others, strict=True))
        == 2
    )
    rows = camscope.runs.open(out)
    assert (len(rows.failures), "similarity" in rows.columns) == (0, True)
    assert begin(photos, explainer, out, retry_failed=True).progress.now == 0


def test_a_shard_says_how_it_was_made_though_that_is_no_part_of_the_plan(folder, explainer, tmp_path):
    begin(folder, explainer, tmp_path / "run")
    first = sorted((tmp_path / "run" / "shards").iterdir())[0]
    first.unlink()
    assert begin(folder, explainer, tmp_path / "run", batch=2).progress.now == 8
    made = [mark_of(file) for file in sorted((tmp_path / "run" / "shards").iterdir())]
    assert [one["batch"] for one in made] == [2, 4, 4, 4]
    assert {one["device"] for one in made} == {"cpu"}


def test_an_output_folder_that_vanishes_is_said(folder, explainer, tmp_path):
    def vanishing(progress):
        if progress.now == 8 and not progress.begun:
            shutil.rmtree(tmp_path / "run")

    with pytest.raises(InputError, match=r"is not there any more.*still there.*run the same again"):
        begin(folder, explainer, tmp_path / "run", progress=vanishing)


def test_other_weights_are_another_plan(folder, explainer, tmp_path, tiny_cnn):
    begin(folder, explainer, tmp_path / "run")
    tiny_cnn.head.bias.data += 1
    other = Explainer(tiny_cnn, preprocessing=explainer.preprocessing)
    with pytest.raises(InputError, match="the model's weights"):
        begin(folder, other, tmp_path / "run")


def test_data_that_changed_are_refused_with_the_first_that_did(explainer, tmp_path):
    photos = write_photos(tmp_path / "photos", 12)
    begin(photos, explainer, tmp_path / "run")
    (photos / "ant" / "2.png").write_bytes((photos / "ant" / "0.png").read_bytes())
    with pytest.raises(InputError, match=r"input 2 was '.*ant/4.png' labelled 'ant', and is '.*ant/2.png'"):
        begin(photos, explainer, tmp_path / "run")
    (photos / "ant" / "2.png").unlink()
    (photos / "wolf" / "11.png").unlink()
    with pytest.raises(InputError, match="12 inputs were there, now 11"):
        begin(photos, explainer, tmp_path / "run")


def test_a_torn_shard_is_made_anew_and_no_other(folder, explainer, tmp_path):
    begin(folder, explainer, tmp_path / "run")
    whole = shards(tmp_path / "run")
    torn, other = sorted((tmp_path / "run" / "shards").glob("*.parquet"))[1:3]
    torn.write_bytes(torn.read_bytes()[:-100])
    with pytest.raises(InputError, match="is torn"):
        camscope.runs.open(tmp_path / "run")
    before = other.stat()
    again = begin(folder, explainer, tmp_path / "run")
    assert (again.torn, again.progress.now) == ((1,), 8)
    assert other.stat() == before
    assert shards(tmp_path / "run") == whole


def test_foreign_files_and_other_versions_are_refused(folder, explainer, finished, tmp_path):
    out = tmp_path / "run"
    begin(folder, explainer, out)
    foreign = out / "shards" / "shard-0000001.parquet"
    shutil.copy(finished / "shards" / foreign.name, foreign)
    for call in (lambda: begin(folder, explainer, out), lambda: camscope.runs.open(out)):
        with pytest.raises(InputError, match="of another run than the plan"):
            call()
    parquet.write_table(pa.table({"x": [1]}), foreign)
    with pytest.raises(InputError, match="of another run than the plan"):
        camscope.runs.open(out)
    foreign.unlink()
    (out / "shards" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"notes.txt' is no shard"):
        camscope.runs.open(out)
    plan = json.loads((out / "plan.json").read_text())
    for version, words in ((0, "an older camscope"), (99, "a newer camscope")):
        (out / "plan.json").write_text(json.dumps({**plan, "format": version}))
        with pytest.raises(InputError, match=f"{words}.*version {version}, this one reads 1"):
            camscope.runs.open(out)
    (out / "plan.json").write_text('{"format": 1, "asked"')
    with pytest.raises(InputError, match="damaged"):
        camscope.runs.open(out)


def test_two_processes_do_not_run_in_one_folder(folder, explainer, tmp_path):
    (tmp_path / "run").mkdir()
    with (
        held(tmp_path / "run", taken="", what="", extra=""),
        pytest.raises(InputError, match=r"Another process is writing .*share='1/2'"),
    ):
        begin(folder, explainer, tmp_path / "run")
    assert begin(folder, explainer, tmp_path / "run").complete


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"targets": "tger"}, TargetError, "no class 'tger'"),
        ({"targets": ["labels", "top1"]}, TargetError, "stands alone"),
        ({"targets": camscope.Class(1)}, TargetError, "words"),
        ({"methods": "gradcm"}, MethodError, "gradcam"),
        ({"share": "3/2"}, InputError, "1/8 to 8/8"),
        ({"batch": 0}, InputError, "at least 1"),
        ({"workers": 0}, InputError, "at least 1"),
    ],
)
def test_what_does_not_suit_the_model_is_refused_before_anything_is_done(
    options, kind, said, folder, explainer, tmp_path
):
    with pytest.raises(kind, match=said):
        begin(folder, explainer, tmp_path / "run", **options)
    assert not (tmp_path / "run" / "plan.json").exists()
    assert begin(folder, explainer, tmp_path / "run").complete


@pytest.mark.parametrize("package", ["pyarrow", "filelock", "fsspec"])
def test_without_a_package_that_it_needs_nothing_is_begun(package, folder, explainer, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"camscope\[runs\]"):
        run(folder, model=explainer, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_files_is_left_alone(folder, explainer, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    for restart in (False, True):
        with pytest.raises(InputError, match=r"thesis.tex"):
            begin(folder, explainer, tmp_path, restart=restart)
    assert (tmp_path / "thesis.tex").exists()


def test_data_of_which_nothing_can_be_read_begin_no_run(explainer, tmp_path):
    (tmp_path / "list.txt").write_text("gone/1.png\ngone/2.png\n")
    with pytest.raises(InputError, match=r"None of the first 2 images .*'gone/1.png' does not exist"):
        begin(tmp_path / "list.txt", explainer, tmp_path / "run")


def test_data_that_vanish_stop_the_run_and_come_back(explainer, tmp_path):
    """As a drive does: nothing is written of what could not be read for that, and the run goes on when it is back."""
    photos = write_photos(tmp_path / "photos", 64)

    def vanishing(progress):
        if progress.now == 8 and not progress.begun:
            photos.rename(tmp_path / "away")

    with pytest.raises(InputError, match="Is the drive, or the network, still there"):
        begin(photos, explainer, tmp_path / "run", progress=vanishing)
    (tmp_path / "away").rename(photos)
    assert begin(photos, explainer, tmp_path / "run").complete
    seen = rows_in(tmp_path / "run")
    assert [row["id"] for row in seen] == list(range(64))
    assert {row["status"] for row in seen} == {"ok"}


def test_photos_that_are_taken_away_while_it_runs_are_rows(explainer, tmp_path):
    """The others are there: it is no drive that has vanished, also where all of a shard are gone."""
    photos = write_photos(tmp_path / "photos", 64)

    def taking(progress):
        if progress.now == 8 and not progress.begun:
            (photos / "house_cat" / "50.png").unlink()
            shutil.rmtree(photos / "wolf")

    done = begin(photos, explainer, tmp_path / "run", progress=taking)
    assert (done.complete, done.progress.failed) == (True, 1 + 16)
    assert {Path(row["source"]).parent.name for row in rows_in(tmp_path / "run") if row["reason"]} == {
        "house_cat",
        "wolf",
    }


def _full(folder, explainer, out, pipe):
    """A disk on which no file can be larger than a quarter of a shard."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
    try:
        begin(folder, explainer, out)
        pipe.send("no error")
    except InputError as error:
        pipe.send(str(error))


def test_a_full_disk_stops_the_run_and_leaves_nothing_half(folder, explainer, tmp_path):
    mine, theirs = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_full, args=(folder, explainer, tmp_path / "run", theirs)
    )
    process.start()
    said = mine.recv()
    process.join()
    assert "cannot be written: File too large" in said
    assert "make room, and run the same again" in said
    assert os.listdir(tmp_path / "run" / "shards") == []  # noqa: PTH208
    assert begin(folder, explainer, tmp_path / "run").complete


def test_what_is_left_aside_is_taken_away_at_both_ends(tmp_path):
    store = RunStore(tmp_path / "run")

    def left() -> Path:
        folder = store.shards / ".shard-0000001.parquet.lost"
        folder.mkdir(parents=True)
        (folder / "shard-0000001.parquet").write_bytes(b"half")
        return folder

    before = left()
    with store.held():
        assert not before.exists()
        meanwhile = left()  # by a worker of another machine, which is lost
    assert not meanwhile.exists()
