"""`camscope concepts`: which concepts there are in some photos, what they speak for, and which photo shows them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camscope
from tests.cli.brightness import SPEC

MODEL = ("--model", SPEC, "--count", "2")


@pytest.fixture
def day_and_night(run) -> list[str]:
    """A white and a black photo: cells of the one are only bright, of the other only dark."""
    for name, value in (("day", 255), ("night", 0)):
        Image.fromarray(np.full((60, 90, 3), value, dtype=np.uint8)).save(f"{name}.png")
    return ["night.png", "day.png"]


def test_each_concept_has_its_class_and_the_photo_that_shows_most_of_it(run, day_and_night):
    ran = run("concepts", *day_and_night, *MODEL, "--out", "maps")
    assert (ran.status, ran.err) == (0, "")
    heading, *rows = (line.split() for line in ran.out.splitlines()[:3])
    assert heading == ["concept", "speaks", "for", "strongest", "in"]
    assert {(row[2].strip(","), row[-1]) for row in rows} == {("bright", "day.png"), ("dark", "night.png")}
    written = [line.removeprefix("wrote ") for line in ran.out.splitlines() if line.startswith("wrote")]
    assert written == ["maps/night-concepts.png", "maps/day-concepts.png", "maps/concepts.npz"]
    assert all(Path(path).is_file() for path in written)


def test_json_says_the_same_and_is_what_the_file_holds(run, day_and_night):
    ran = run("concepts", *day_and_night, *MODEL, "--json")
    document = json.loads(ran.out)
    assert document["photos"] == day_and_night
    e = camscope.load(document["files"][-1])
    assert [one["name"] for one in document["concepts"]] == [target.name for target in e.targets[0]]
    assert np.array([one["strengths"] for one in document["concepts"]]) == pytest.approx(e.scores.T)
    shown_by = {"bright": "day.png", "dark, unlit": "night.png"}
    for one in document["concepts"]:
        best = one["classes"][0]["name"]
        assert day_and_night[int(np.argmax(one["strengths"]))] == shown_by[best]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which photos?"),
        (["nothing/*.png"], "No image matches 'nothing/*.png'"),
        (["day.png", "--colormap", "infeno"], "Did you mean 'inferno'"),
    ],
)
def test_wrong_usage_is_found_before_any_work(run, day_and_night, arguments, words):
    ran = run("concepts", *arguments, "--model", "nowhere.py:model")  # opening it would be another error
    assert ran.status == 2
    assert words in ran.err
    assert not Path("camscope-out").exists()
