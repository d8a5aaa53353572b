"""`camscope choose`, and `camscope explain --as`: the files, the words, and the mistakes of a first use."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camscope
from tests.trust import coloured_patches
from tests.trust.coloured_patches import folders

MODEL = ("--model", f"{coloured_patches.__file__}:model")
QUICK = (*MODEL, "--methods", "gradcam,eigencam", "--layers", "colour+relu", "--probes", "32")


@pytest.fixture
def patches(tmp_path) -> Path:
    folders(tmp_path / "patches", 16)
    return tmp_path / "patches"


def test_it_recommends_writes_and_is_explained_with(run, patches):
    ran = run("choose", patches, *QUICK)
    assert (ran.status, ran.err) == (0, "")
    words = " ".join(ran.out.split())
    assert "2 candidates cost about" in words
    assert "Too few: 16 photos, and at least 50 are needed" in words
    assert "not known" not in words  # the folders name the model's classes
    assert "gradcam colour+relu" in words
    assert "wrote choice.json" in words
    assert "wrote choice.png" in words
    assert words.endswith(f"camscope explain PHOTO --model {MODEL[1]} --as choice.json")
    saved = json.loads(Path("choice.json").read_text("utf-8"))
    assert (saved["method"], saved["layers"]) == ("gradcam", ["colour+relu"])
    blue = (np.asarray(Image.open("choice.png").convert("RGB")) == (0, 0x72, 0xB2)).all(-1)
    assert blue.sum() > 500

    photo = next(patches.rglob("*.png"))
    ran = run("explain", photo, *MODEL, "--as", "choice.json", "--save", "npz")
    assert ran.status == 0
    (written,) = Path("camscope-out").rglob("*.npz")
    assert list(camscope.load(written).raw) == [("gradcam", "colour+relu")]


def test_json_is_the_choice_and_nothing_is_written_over(run, patches):
    Path("choice.json").write_text("mine", "utf-8")
    ran = run("choose", patches, *QUICK, "--json")
    document = json.loads(ran.out)
    assert document["files"] == ["choice-2.json", "choice-2.png"]
    assert document["says"].startswith("Too few: 16 photos")
    assert len(document["candidates"]) == 2
    assert "forwards" in ran.err
    assert Path("choice.json").read_text("utf-8") == "mine"
    ran = run("choose", patches, *QUICK, "--overwrite", "--json")
    assert json.loads(ran.out)["files"][0] == "choice.json"
    assert Path("choice.json").read_text("utf-8") != "mine"


def test_broken_photos_are_named_folders_of_other_names_told_and_groups_counted(run, patches):
    (patches / "red" / "broken.png").write_bytes(b"no picture")
    (patches / "blue").rename(patches / "bleu")
    ran = run("choose", patches, *QUICK, "--groups", r"([0-9]+|broken)\.png")
    assert ran.status == 0
    assert "broken.png" in ran.err
    words = " ".join(ran.out.split())
    assert "Too few: 16 groups" in words
    assert "There is no class 'bleu'" in words
    ran = run("choose", patches, *QUICK, "--labels", "none")
    assert "there are no labels" in " ".join(ran.out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which photos?"),
        (["nowhere/*.png"], "No image matches"),
        (["empty"], "hold no file with an image's suffix"),
        (["patches", "--out", "a.csv"], "a choice is written as .json, not .csv"),
        (["patches", "--out", "no/a.json"], "mkdir -p no"),
        (["patches", "--out", "."], "no file name"),
        (["patches", "--groups", "(["], "no regular expression"),
        (["patches", "--groups", "patient"], "not in the path of 16 of 16 photos"),
        (["patches", "--methods", "gradcm"], "Did you mean 'gradcam'"),
        (["patches", "--by", "score"], "mosaics"),
    ],
)
def test_mistakes_are_found_before_the_model_is_loaded(run, patches, arguments, words):
    Path("empty").mkdir()
    ran = run("choose", *arguments, "--model", "nowhere.py:model")
    assert ran.status == 2
    assert words in " ".join((ran.out + ran.err).split())
    assert not list(Path().glob("choice*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["patches/red"],
            "'red' 4. Add photos of other classes; or rank without mosaics, by fidelity alone: --by "
            "fidelity. For anything to be claimed it takes 50 photos.",
        ),
        (["patches/red/0.png"], "there is one photo: nothing is left for the other half"),
        (["patches/nobody.png"], "No photo of 1 can be read. 'patches/nobody.png' does not exist"),
        (["patches", "--layers", "color"], "There is no layer 'color'"),
        (["patches", "--methods", "centre"], "--methods names no method but baselines"),
        (["patches", "--probes", "3"], "32 at least"),
    ],
)
def test_mistakes_that_only_the_model_shows(run, patches, arguments, words):
    ran = run("choose", *arguments, *MODEL)
    assert ran.status == 2
    assert words in " ".join(ran.err.split())
    assert not list(Path().glob("choice*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--as", "none.json"], "There is no file 'none.json'. camscope choose FOLDER writes one"),
        (["--as", "choice.json", "--method", "layercam"], "Give one of both"),
        (["--as", "choice.json", "--layer", "colour"], "Give one of both"),
        (["--as", "other.json"], "need not serve another. Choose for this one, camscope choose FOLDER"),
        (["--as", "odd.json"], "holds no choice"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(run, patches, arguments, words):
    choice = {"kind": "camscope choice", "method": "gradcam", "layers": ["colour"], "model": {}}
    Path("choice.json").write_text(json.dumps(choice), "utf-8")
    Path("other.json").write_text(json.dumps({**choice, "model": {"weights_sha256": "0" * 64}}), "utf-8")
    Path("odd.json").write_text("[1]", "utf-8")
    ran = run("explain", next(patches.rglob("*.png")), *MODEL, *arguments)
    assert ran.status == 2
    assert words in " ".join(ran.err.split())
