"""`camscope export`: what it writes, and what it says of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.cli.brightness import SPEC

MODEL = ("export", "--model", SPEC)


def test_it_says_what_it_wrote_and_how_that_was_verified(run):
    ran = run(*MODEL, "--out", "bright.pt2", "--top", 2)
    assert (ran.status, ran.err) == (0, "")
    first, second, *_, last = ran.out.splitlines()
    assert first == "cam at seen: maps of 16×16 for the top 2 of 3 classes; batches of 3×64×64"
    assert second.startswith("verified on 3 inputs (PyTorch")
    assert last.startswith("wrote bright.pt2 (")
    assert [file.name for file in Path().iterdir()] == ["bright.pt2"]
    x = torch.rand(4, 3, 64, 64)
    _, classes, maps = torch.export.load("bright.pt2").module()(x)
    assert maps.shape == (4, 2, 16, 16)
    brightness = torch.nn.functional.avg_pool2d(x.mean(1), 4)  # the CAM of class 0 is twice that of each cell
    of_bright = maps[classes == 0]
    assert len(of_bright) > 0
    torch.testing.assert_close(of_bright, 2 * brightness[(classes == 0).any(1)], rtol=1e-4, atol=1e-4)


def test_json_is_for_programs(run, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    ran = run(
        *MODEL,
        "--out",
        "m.pt2",
        "--method",
        "hirescam",
        "--layer",
        "cells",
        "--classes",
        "names.txt",
        "--preprocessing",
        "-1-1@64",
        "--json",
    )
    said = json.loads(ran.out)
    assert (said["method"], said["layer"], said["path"], said["classes"]) == ("hirescam", "cells", "m.pt2", 3)
    assert said["verified"]["maps"] < 1e-5
    assert said["bytes"] == Path("m.pt2").stat().st_size
    extra = {"camscope.class_names": "", "camscope.preprocessing": ""}
    torch.export.load("m.pt2", extra_files=extra)
    assert json.loads(extra["camscope.class_names"]) == ["a", "b", "c"]
    how = json.loads(extra["camscope.preprocessing"])
    assert (how["input_size"], how["mean"], how["std"]) == ([64, 64], [0.5] * 3, [0.5] * 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "m.tflite"), "none of '.onnx' or '.pt2'"),
        (("--out", "no/m.pt2"), "There is no folder"),
        (("--out", "m.pt2", "--method", "layercan"), "Did you mean 'layercam'"),
        (("--out", "m.pt2", "--method", "ablationcam"), "These can: cam, gradcam, hirescam, layercam"),
        (("--out", "m.pt2", "--layer", "sene"), "Did you mean 'seen'"),
        (("--out", "m.pt2", "--top", 0), "top=0"),
        (("--out", "m.pt2", "--size", 0), "--size 0"),
        (("--out", "m.pt2", "--preprocessing", "imagnet"), "Did you mean 'imagenet'"),
    ],
)
def test_wrong_usage_leaves_nothing_behind(run, arguments, words):
    ran = run(*MODEL, *arguments)
    assert ran.status == 2
    assert words in ran.err
    assert list(Path().iterdir()) == []
