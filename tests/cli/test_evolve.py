"""`camscope evolve`: a history in; a table, figures and an animation out; newcomers' mistakes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from camscope.cli import main
from tests.watching.conftest import watched  # noqa: F401 (a fixture)


def run(capsys, *words) -> tuple[int, str, str]:
    status = main(["evolve", *map(str, words)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_run_gives_a_table_a_figure_curves_and_an_animation(capsys, tmp_path, watched):  # noqa: F811
    status, out, err = run(capsys, watched.parent, "--out", tmp_path, "--box", "0,0,12,6")
    assert (status, err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "run-evolution.png", "run-evolution.webp", "run-settling.png",
    ]  # fmt: skip
    lines = out.splitlines()
    assert "3 samples, 10 looks" in lines[0]
    for word in ("step", "epoch", "loss", "metric", "probability", "similarity"):
        assert word in lines[1] + lines[2]
    assert sum(line.startswith("wrote ") for line in lines) == 3
    with Image.open(tmp_path / "run-evolution.webp") as animation:
        assert animation.n_frames == 10


def test_two_epochs_side_by_side(capsys, tmp_path, watched):  # noqa: F811
    words = ("--at", "1,4", "--no-animation", "--sample", "cross,0", "--json")
    status, out, _ = run(capsys, watched, "--out", tmp_path, *words)
    assert status == 0
    found = json.loads(out)
    assert [sample["label"] for sample in found["samples"]] == ["cross", "circle"]
    assert [look["step"] for look in found["looks"]] == [0, 1, 2, 4, 6, 8, 12, 16, 18, 24]
    assert found["looks"][-1]["similarity"] == pytest.approx(1)
    assert found["looks"][1]["numbers"]["learning_rate"] == 0.05
    assert len(found["looks"][0]["probabilities"]) == 2
    assert len(found["files"]) == 2
    wide, high = Image.open(tmp_path / "run-evolution.png").size
    assert 1.2 < wide / high < 2  # input and two epochs, by two samples


def test_a_mask_is_a_picture_or_an_array(capsys, tmp_path, watched):  # noqa: F811
    mask = np.zeros((12, 12), bool)
    mask[:6] = True
    np.save(tmp_path / "mask.npy", mask)
    Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "mask.png")
    masses = []
    for region in (
        ("--mask", tmp_path / "mask.npy"),
        ("--mask", tmp_path / "mask.png"),
        ("--box", "0,0,12,6"),
    ):
        words = ("--out", tmp_path / "out", "--json", "--no-animation", *region)
        status, out, _ = run(capsys, watched, *words)
        assert status == 0
        masses.append([look["mass_inside"] for look in json.loads(out)["looks"]])
    assert masses[0] == masses[1] == masses[2]
    assert 0 < masses[0][-1] < 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--at", "5,50"), "There is no look at the end of epoch 5; there are 0, 1, 2, 3, 4."),
        (("--at", "one"), "--at one: expected whole numbers with commas between, as in --at 5,50"),
        (("--at", "1", "--steps", "1"), "give one of both"),
        (("--steps", "3"), "There is no look after step 3. The nearest is step 2"),
        (("--box", "1,2"), "--box 1,2: expected 4 numbers, as in --box 8,8,24,24; got 2"),
        (("--box", "0,0,13,4"), "is none in an input 12 wide and 12 high"),
        (("--mask", "nowhere.npy"), "--mask nowhere.npy cannot be read: No such file"),
        (("--mask", "nowhere.png"), "nowhere.png"),
        (("--sample", "sqare"), "There is no sample 'sqare'"),
        (("--target", "1"), "target=1: the history has 1, 0 to 0"),
        (("--opacity", "2"), "--opacity 2.0: expected 0"),
        (("--colormap", "infermo"), "infermo"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(capsys, tmp_path, watched, words, message):  # noqa: F811
    status, out, err = run(capsys, watched, "--out", tmp_path / "out", *words)
    assert status == 2
    assert out == ""
    assert message in err
    assert not any(tmp_path.rglob("*.png"))


def test_what_is_no_run_is_said(capsys, tmp_path):
    status, _, err = run(capsys, tmp_path)
    assert status == 2
    assert "holds no history" in err
    assert "camscope train" in err
