"""`camscope train` as a person runs it: folders, tables, a second try, mistakes."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.training.conftest import stripes
from tests.training.killed import NET


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of images for each class, and a table of the same with labels of both kinds."""
    home = tmp_path_factory.mktemp("data")
    data = stripes(60)
    rows = []
    for index, image in enumerate(data.sources):
        kind = data.classes[data.labels[index]]
        (home / "images" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(home / "images" / kind / f"{index}.png")
        rows.append({"ID": f"{kind}/{index}", "Label": f"{kind}|grey" if index % 3 else kind})
    with (home / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["ID", "Label"])
        table.writeheader()
        table.writerows(rows)
    return home


SHORT = ("--epochs", 4, "--batch-size", 8, "--no-watch")


def test_a_folder_is_trained_on_and_its_run_explains_a_photo(run, folder, tmp_path):
    status, out, _ = run("train", folder / "images", *SHORT, "--name", "first")
    assert status == 0
    assert "60 images of 2 classes, one label each, 12×12 pixels" in out
    assert "48 to train on, 12 held out (0.2 held out, stratified, seed 0)" in out
    assert re.search(r"^columns +24 +6$", out, re.MULTILINE)
    assert re.search(r"^gapnet: [\d,]+ parameters, from scratch; input 1×12×12", out, re.MULTILINE)
    epochs = re.findall(r"^    (\d)    \d\.\d{4}", out, re.MULTILINE)
    assert epochs == ["1", "2", "3", "4"]
    assert "camscope explain PHOTO --model runs/first" in out
    lines = [line for line in out.splitlines() if "→" not in line and not line.startswith("'")]
    assert max(map(len, lines)) <= 100
    photo = next((folder / "images" / "rows").iterdir())
    status, out, _ = run("explain", photo, "--model", "runs/first", "--json")
    (explained,) = json.loads(out)["explained"]
    assert status == 0
    assert {entry["name"] for entry in explained["top"]} == {"rows", "columns"}
    status, out, _ = run("layers", "--model", "runs/first", "--json")
    assert [layer["name"] for layer in json.loads(out) if layer["automatic"]] == ["stage3"]
    assert run("export", "--model", "runs/first", "--out", "first.onnx")[0] == 0
    assert (tmp_path / "first.onnx").exists()


def test_a_table_of_several_labels(run, folder):
    words = (
        "--images",
        folder / "images",
        "--path",
        "{ID}.png",
        "--multilabel",
        "--name",
        "several",
        "--json",
    )
    status, out, err = run("train", folder / "labels.csv", *words, *SHORT)
    assert status == 0
    assert "3 classes, several labels each" in err
    headings = next(line.split() for line in err.splitlines() if "mAP" in line)
    assert (
        "exact" in headings
    )  # the share of images that have no label wrong is no accuracy as others mean it
    assert "accuracy" not in headings
    facts = json.loads(out)
    assert facts["score"] == "mean_average_precision"
    assert facts["scores"]["classes"] == ["columns", "grey", "rows"]
    assert len(facts["history"]) == 4


def test_resuming_needs_no_words_but_resume(run, folder):
    run("train", folder / "images", *SHORT, "--name", "a")
    status, out, _ = run("train", "--resume", "--epochs", 6, "--no-watch")
    assert status == 0
    assert re.findall(r"^    (\d)    \d\.\d{4}", out, re.MULTILINE) == ["5", "6"]
    status, _, err = run("train", "--resume", "--no-watch")
    assert status == 2
    assert "has all of its 6 epochs" in err
    assert "--epochs 12" in err
    assert "--epochs 12" in run("train", "--resume", "--epochs", 3, "--no-watch")[2]


def test_ctrl_c_says_how_to_go_on(run, folder, monkeypatch):
    import os
    import signal

    from camscope.training.batching import Batches

    epoch = Batches.epoch

    def interrupted(self, k, start=0):
        for number, batch in enumerate(epoch(self, k, start)):
            if (k, number) == (1, 2) and self.training:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    monkeypatch.setattr(Batches, "epoch", interrupted)
    status, out, _ = run("train", folder / "images", *SHORT, "--out", "here", "--name", "cut")
    assert status == 130
    assert "camscope train --resume --name cut --out here" in out
    monkeypatch.setattr(Batches, "epoch", epoch)
    status, out, _ = run("train", "--resume", "--name", "cut", "--out", "here", "--no-watch")
    assert status == 0
    assert re.findall(r"^    (\d)    \d\.\d{4}", out, re.MULTILINE) == ["2", "3", "4"]


def test_a_dry_run_writes_nothing(run, folder, tmp_path):
    status, out, _ = run("train", folder / "images", "--dry-run")
    assert status == 0
    assert "Nothing was trained or written" in out
    assert list(tmp_path.iterdir()) == []
    status, out, _ = run("train", folder / "images", "--dry-run", "--json")
    assert json.loads(out)["plan"]["settings"]["batch_size"] == 32


def test_a_learning_rate_is_looked_for(run, folder, tmp_path):
    status, out, _ = run("train", folder / "images", "--find-lr", "--batch-size", 8)
    assert status == 0
    found = float(re.search(r"Suggested: --lr ([\d.e+-]+)", out)[1])
    assert 1e-5 < found < 1
    assert np.asarray(Image.open(tmp_path / "runs" / "images-gapnet-lr.png").convert("RGB")).std() > 5
    assert [one.name for one in (tmp_path / "runs").iterdir()] == ["images-gapnet-lr.png"]


def test_what_is_odd_about_the_data_is_said(run, tmp_path):
    data = stripes(40)
    for index, image in enumerate(data.sources):
        kind = "rows" if index < 4 else "columns"
        (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "data" / kind / f"{index}.png")
    (tmp_path / "data" / "columns" / "again.png").write_bytes(
        (tmp_path / "data" / "columns" / "9.png").read_bytes()
    )
    (tmp_path / "data" / "columns" / "broken.png").write_bytes(b"no picture")
    status, out, _ = run("train", "data", "--dry-run")
    said = " ".join(out.split())
    assert status == 0
    assert "1 image is left out" in said
    assert "1 image is there more than once" in said
    assert (
        "the largest class has 9 times as many images as the smallest (--class-weights makes up for it)"
        in said
    )


def test_errors_name_options_as_they_are_typed(run, folder, tmp_path):
    (tmp_path / "t.csv").write_text("ID,Label\na,x|y\nb,x\n")
    assert "say --separator '|', or --separator '' if each" in run("train", "t.csv")[2]
    said = run("train", "t.csv", "--separator", "|")[2]
    assert "--column NAME if it has paths, or --path '{NAME}.jpg' if it has ids; --images FOLDER" in said
    assert "--separator is for tables" in run("train", folder / "images", "--separator", "|")[2]


def test_more_damage_is_allowed_when_it_is_said(run, folder, tmp_path):
    import shutil

    shutil.copytree(folder / "images", "data")
    for file in sorted((tmp_path / "data" / "rows").iterdir())[:6]:
        file.write_bytes(b"no picture")
    status, _, err = run("train", "data", "--dry-run")
    assert status == 2
    assert "6 of 60 images cannot be used; at most 5% may be left out" in " ".join(err.split())
    assert "or allow more: --unreadable 0.11." in err
    status, out, _ = run("train", "data", "--dry-run", "--unreadable", 0.1)
    assert status == 0
    assert "6 images are left out" in " ".join(out.split())


def test_the_order_of_the_classes_is_that_of_the_list(run, folder, tmp_path):
    (tmp_path / "names.txt").write_text("rows\ncolumns\n")
    status, out, _ = run("train", folder / "images", "--classes", "names.txt", "--dry-run", "--json")
    assert json.loads(out)["plan"]["classes"] == ["rows", "columns"]
    (tmp_path / "names.txt").write_text("row\ncolumns\n")
    status, _, err = run("train", folder / "images", "--classes", "names.txt", "--dry-run")
    assert status == 2
    assert "rows" in err


MISTAKES = [
    ((), "Which images\\?"),
    (("nowhere",), "There is no 'nowhere'"),
    (("sample:digit",), "Did you mean 'digits'"),
    (("sample:digits", "--model", "resnet18"), "Perhaps 'timm:resnet18'"),
    (("sample:digits", "--model", "runs/nothing"), "names no model"),
    (("sample:digits", "--epochs", "0"), "--epochs|epochs is 0"),
    (("sample:digits", "--lr", "-1"), "learning_rate is -1"),
    (("sample:digits", "--mixed-precision", "fp61"), "fp61"),
    (("sample:digits", "--label", "x"), "is for tables"),
    (("sample:digits", "--folds", "1"), "folds is from 2"),
    (("sample:digits", "--folds", "5", "--fold", "5"), "fold is from 0 to 4"),
    (("--resume",), "There is no run in 'runs' to go on with"),
    (("sample:digits", "--epoch", "3"), "--epoch"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=lambda value: " ".join(value)[:40] or "nothing")
def test_mistakes(run, tmp_path, words, message):
    status, _, err = run("train", *words)
    assert status == 2
    assert re.search(message, " ".join(err.split())), err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["torchvision", "accelerate"])
def test_what_is_not_installed_is_named(tmp_path, missing):
    code = f"""
import sys
sys.modules[{missing!r}] = None
from camscope.cli import main
sys.exit(main(["train", "sample:digits"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'camscope[train]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_train_says_its_options_without_pytorch():
    code = """
import sys
from camscope.cli import main
main(["train", "--help"])
print("LOADED", *[name for name in ("torch", "torchvision", "timm", "accelerate") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_a_factory_is_found_again_from_another_folder(run, folder, tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    assert run("train", folder / "images", "--model", "net.py:make", *SHORT, "--name", "mine")[0] == 0
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    photo = next((folder / "images" / "rows").iterdir())
    status, out, _ = run("explain", photo, "--model", "../runs/mine", "--json")
    assert status == 0
    assert len(json.loads(out)["explained"][0]["top"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("digits", 0.98), ("faces", 0.97), ("silhouettes", 0.94)])
def test_the_defaults_learn_the_packaged_sets(run, name, least):
    status, out, _ = run("train", f"sample:{name}", "--seed", 0, "--json", "--no-watch")
    assert status == 0
    facts = json.loads(out)
    assert facts["scores"]["accuracy"] >= least
    assert facts["history"][-1]["accuracy"] >= least  # the last too, and not only one that was chosen
