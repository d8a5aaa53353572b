"""`camscope run`, `camscope runs merge` and `camscope browse`: a folder in; a table, sheets and a store out."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from PIL import Image

from camscope.runs.run_plan import Plan
from tests.cli.brightness import SPEC
from tests.runs.conftest import write_photos

SMALL = ("--shard-size", "4", "--workers", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine photos in three folders, of which one file is no image."""
    photos = write_photos(tmp_path_factory.mktemp("cli") / "photos", 9)
    (photos / "bee" / "5.png").write_bytes(b"none")
    return photos


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """A finished run: copied by who writes to it."""
    from camscope.cli import main

    out = tmp_path_factory.mktemp("made") / "run"
    assert main(["run", str(folder), "--model", SPEC, "--out", str(out), *SMALL]) == 0
    return out


def test_a_run_says_what_was_done_and_goes_on(run, folder, made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    (tmp_path / "run" / "shards" / "shard-0000001.parquet").unlink()
    done = run("run", folder, "--model", SPEC, "--out", "run", *SMALL)
    assert done.status == 0
    assert "4 of 9 images done, 5 before" in done.out
    assert "1 could not be explained:" in done.out
    assert "5.png' is no image that Pillow can read" in done.out
    assert "camscope browse run" in done.out
    again = json.loads(run("run", folder, "--model", SPEC, "--out", "run", *SMALL, "--json").out)
    assert (again["images"], again["before"], again["failed"], again["complete"]) == (9, 9, 1, True)


def test_the_plan_has_the_name_of_the_model_and_its_options(made):
    asked = Plan.read(made).asked
    assert (asked.model, dict(asked.model_options)) == (SPEC, {})


def test_shares_are_merged(run, folder, made, tmp_path):
    for n in (1, 2):
        assert (
            run("run", folder, "--model", SPEC, "--out", f"parts/{n}", "--shard", f"{n}/2", *SMALL).status
            == 0
        )
    merged = run("runs", "merge", "parts", "--out", "whole")
    assert "9 rows of 9 images are in whole" in merged.out
    for file in (made / "shards").iterdir():
        assert (tmp_path / "whole" / "shards" / file.name).read_bytes() == file.read_bytes()


def test_a_list_on_standard_input(run, folder, monkeypatch):
    import io

    lines = "".join(f"{file}\n" for file in sorted(folder.rglob("*.png"))[:2])
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert "2 of 2 images done" in run("run", "-", "--model", SPEC, "--out", "run", *SMALL).out


def test_browse_shows_rows_and_writes_sheets(run, made, tmp_path):
    shown = run(
        "browse", made, "--where", "status = 'ok'", "--sort", "ring_share", "--descending", "--limit", "3"
    )
    assert "9 images; 8 rows" in shown.out
    assert "ring_share" in shown.out
    assert "--offset 3 shows the next" in shown.out
    assert "wrote sheet.png" in run("browse", made, "--save", "sheet.png", "--limit", "4").out
    assert Image.open(tmp_path / "sheet.png").width > 400
    run("browse", made, "--save", "rows.csv", "--limit", "5", "--offset", "2")
    with (tmp_path / "rows.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["2", "3", "4", "5", "6"]
    rows = json.loads(run("browse", made, "--where", "id < 2", "--json").out)
    assert [row["id"] for row in rows["shown"]] == [0, 1]
    assert rows["rows"] == 2


def test_browse_tells_the_targets_probability_from_that_of_the_top_class(run, folder, tmp_path):
    shutil.copytree(folder / "ant", tmp_path / "ant")
    run("run", "ant", "--model", SPEC, "--out", "two", "--target", "top2", *SMALL)
    out = run("browse", "two", "--limit", "2").out
    assert "top1's probability" in out
    rows = json.loads(run("browse", "two", "--limit", "2", "--json").out)["shown"]
    assert [row["target"] == row["top1"] for row in rows] == [True, False]
    lines = [line.split() for line in out.splitlines() if "ant/" in line]
    shares = [[f"{row[name]:.1%}" for name in ("top1_probability", "probability")] for row in rows]
    assert [line[-2:] for line in lines] == shares


def test_browse_shows_mean_maps_and_the_unusual(run, made, tmp_path):
    means = run("browse", made, "--means", "label", "--save", "means.png")
    assert {"ant", "bee", "wolf"} <= set(means.out.split())
    assert Image.open(tmp_path / "means.png").height > 100
    unusual = json.loads(run("browse", made, "--unusual", "label", "--json").out)
    assert unusual["rows"] == 8  # at most three of each class
    facts = json.loads(run("browse", made, "--means", "label", "--json").out)
    assert facts["ant"]["count"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--out", "x"], "Which images?"),
        (["run", "PHOTOS", "--out", "x", "--methd", "cam"], "no option --methd. Did you mean '--method'"),
        (["run", "PHOTOS"], "--out RUN."),
        (["run", "PHOTOZ", "--out", "x"], "photoz'."),
        (["run", "PHOTOS", "--out", "RUN", "--method", "layercam"], "Changed: the methods"),
        (["run", "PHOTOS", "--out", "x", "--shard", "3/2"], "1/8 to 8/8"),
        (["run", "PHOTOS", "--out", "x", "--batch", "0"], "--batch 0: expected a whole number"),
        (["run", "PHOTOS", "--out", "PHOTOS"], "no run's, such as"),
        (["run", "RUN", "--out", "x"], "is a run"),
        (["browse", "PHOTOS"], "is no run"),
        (["browse", "RUN", "--where", "labl = 1"], "Did you mean 'label'"),
        (["browse", "RUN", "--sort", "rings"], "Did you mean 'ring_share'"),
        (["browse", "RUN", "--save", "x.gif"], ".png, .webp, .jpg, .csv"),
        (["browse", "RUN", "--means", "label", "--save", "x.csv"], ".png, .webp, .jpg."),
        (["browse", "RUN", "--means", "label", "--sort", "area"], "--sort area orders rows: leave it out"),
        (["browse", "RUN", "--means", "label", "--unusual", "label"], "say one of both"),
        (["browse", "RUN", "--descending"], "By which column?"),
        (["browse"], "Which run?"),
        (["browse", "PHOTOZ"], "camscope run DATA --out"),
        (["browse", "FILE"], "is a file. Give the folder of a run"),
        (["run", "PHOTOS", "--out", "FILE"], "is a file, or lies below one. Say another name"),
        (["run", "PHOTOS", "--out", "FILE/x"], "is a file, or lies below one. Say another name"),
        (["run", "WHERE/x", "--out", "x"], "There is no folder"),
        (["runs", "merge", "RUN"], "--out RUN."),
        (["browse", "RUN", "--limit", "-1"], "0 or more"),
        (["runs", "merge", "PHOTOS", "--out", "x"], "no share of a run"),
    ],
)
def test_newcomers_mistakes(words, said, run, folder, made, tmp_path):
    names = {"PHOTOS": folder, "PHOTOZ": tmp_path / "photoz", "RUN": made, "FILE": folder / "ant" / "0.png"}
    names |= {"FILE/x": folder / "ant" / "0.png" / "x", "WHERE/x": tmp_path / "where" / "x"}
    model = ["--model", SPEC, *SMALL] if words[0] == "run" else []
    found = run(*(names.get(word, word) for word in words), *model)
    assert found.status == 2
    assert said in " ".join((found.out + found.err).split())


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        (
            "image,label\nx.png,ant\n",
            (),
            "relative to the folder '.': if the images are in another, say --images",
        ),
        (
            "image,label\n{0},horse\n{0},mule\n",
            ("--target", "labels"),
            "labels: 'horse' and 'mule'. --classes FILE",
        ),
        ("image\n{0}\n", ("--target", "labels"), "none has a label. Labels are the names of folders"),
        ("image,label\n", (), "only its header, 'image', 'label'"),
        ("", (), "holds nothing"),
    ],
)
def test_a_run_that_cannot_begin_says_what_next_and_leaves_nothing(
    run, folder, tmp_path, table, options, said
):
    (tmp_path / "table.csv").write_text(table.format(folder / "ant" / "0.png"))
    found = run("run", "table.csv", "--model", SPEC, "--out", "new/run", *options, *SMALL)
    assert found.status == 2
    assert said in " ".join(found.err.split())
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_a_label_that_some_images_do_not_have_is_a_row_of_the_run(run, folder, tmp_path):
    """Nothing is lost: the others are explained, and those are rows that say why not."""
    photos = sorted(folder.glob("ant/*.png"))[:3]
    lines = [f"{photos[0]},horse", f"{photos[1]},bright", str(photos[2]) + ","]
    (tmp_path / "table.csv").write_text("\n".join(["image,label", *lines]))
    found = run("run", "table.csv", "--model", SPEC, "--out", "run", "--target", "labels", "--json", *SMALL)
    facts = json.loads(found.out)
    assert (facts["images"], facts["failed"], facts["complete"]) == (3, 2, True)
    assert {"'horse' is no class of the model", "it has no label"} == {
        why.rpartition(": ")[2].rstrip(".") for why in facts["reasons"].values()
    }


def test_browse_says_why_a_page_is_empty(run, made):
    assert "--limit 20 and --offset 100 leave none of them" in run("browse", made, "--offset", "100").out
    assert "No row is so." in run("browse", made, "--where", "area > 2").out
