"""`camscope report`: photos in, one HTML file out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app.test_report import Read
from tests.cli.brightness import SPEC


@pytest.fixture
def photos(run) -> list[str]:
    for name, value in (("day", 255), ("night", 10)):
        Image.fromarray(np.full((60, 90, 3), value, dtype=np.uint8)).save(f"{name}.png")
    Path("broken.png").write_bytes(b"no picture")
    return ["day.png", "night.png"]


def test_one_file_shows_all_photos(run, photos):
    ran = run("report", *photos, "--model", SPEC, "--method", "gradcam,hirescam", "--title", "Day & night")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "wrote report.html"
    page = Read(Path("report.html").read_text("utf-8"))
    assert page.view["title"] == "Day & night"
    assert [photo["name"] for photo in page.view["photos"]] == photos
    assert {key["method"] for key in page.view["keys"]} == {"gradcam", "hirescam"}
    assert page.view["spec"] == SPEC


def test_a_broken_photo_is_named_and_the_rest_is_reported(run, photos):
    ran = run("report", "broken.png", *photos, "--model", SPEC, "--json")
    assert ran.status == 1
    assert "broken.png" in ran.err
    document = json.loads(ran.out)
    assert document["photos"] == 2
    assert [one["source"] for one in document["failed"]] == ["broken.png"]
    assert document["files"] == ["report.html"]


def test_without_a_photo_that_can_be_read_nothing_is_written(run, photos):
    ran = run("report", "broken.png", "--model", SPEC)
    assert ran.status == 1
    assert not Path("report.html").exists()


def test_a_report_that_is_there_is_kept(run, photos):
    Path("report.html").write_text("mine")
    ran = run("report", *photos, "--model", SPEC)
    assert ran.status == 2
    assert "report.html is there already" in ran.err
    assert Path("report.html").read_text() == "mine"
    assert run("report", *photos, "--model", SPEC, "--overwrite").status == 0
    assert Path("report.html").read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which photos?"),
        (["day.png", "--out", "report.pdf"], "such as report.html"),
        (["day.png", "--out", "nowhere/report.html"], "mkdir -p nowhere"),
        (["day.png", "--method", "gradcm"], "Did you mean 'gradcam'"),
        (["day.png", "--top", "0"], "at least 1"),
    ],
)
def test_wrong_usage_is_found_before_any_work(run, photos, arguments, words):
    ran = run("report", *arguments, "--model", "nowhere.py:model")  # opening it would be another error
    assert ran.status == 2
    assert words in " ".join(ran.err.split())


def test_a_text_for_a_model_of_photos_says_what_reads_it(run):
    for text in ("A film I loved", "A film. I loved it", "long " * 200):
        ran = run("report", text)
        assert ran.status == 2
        assert "--model hf:NAME" in " ".join(ran.err.split())
    Path("reviews.txt").write_text("A film I loved\n")
    assert "--model hf:NAME" in " ".join(run("report", "reviews.txt").err.split())
    for pattern in ("my photos/*", "my photos/", "a photo.jpg"):
        assert "Is it a text?" not in run("report", pattern).err
