"""`camscope explain` on a detector: which instance is meant, by number, class and box, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.libraries import look_alikes

MODEL = ("--model", f"{look_alikes.__file__}:planted_for_photos", "--save", "json")


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    """Two red squares, the left one with a blue one beside it, on a photo twice as wide as high."""
    pixels = np.zeros((100, 200, 3), dtype=np.uint8)
    pixels[40:50, 40:50, 0] = 255
    pixels[40:50, 70:80, 2] = 255
    pixels[40:50, 150:160, 0] = 255
    path = tmp_path_factory.mktemp("photo") / "street.png"
    Image.fromarray(pixels).save(path)
    return path


def explained(run, street: Path, *targets: str) -> list[dict]:
    ran = run("explain", street, *MODEL, *targets, "--out", "maps", "--overwrite")
    assert (ran.status, ran.err) == (0, "")
    (file,) = Path("maps").glob("*.json")
    return json.loads(file.read_text())["targets"]


def test_the_most_likely_instance_is_explained_where_no_target_is_named(run, street):
    (one,) = explained(run, street)
    assert one["label"].startswith("cat at (")
    assert one["box"] is not None
    assert one["probability"] > 0.5
    assert len(explained(run, street, "--top", "3")) == 3
    ran = run("explain", street, *MODEL, "--out", "maps", "--overwrite")
    assert "--target instance:1 --target instance:cat" in ran.out
    said = " ".join(ran.out.split())
    assert "What of the whole picture was used" in said
    assert "layer model.8 (Conv2d, 2 channels, 16×16), of which the instance depends on 5×5 cells" in said


def test_by_number_by_class_and_by_a_box_on_the_photo(run, street):
    first, cat, next_cat, dog = explained(
        run, street, *(f"--target=instance:{words}" for words in ("0", "cat", "cat:1", "dog"))
    )
    assert first["label"] == cat["label"]
    assert cat["score"] >= next_cat["score"]
    assert dog["label"].startswith("dog at")
    left = _box(first["label"])
    assert left[0] < 45 < left[2]
    by_box, of_class = explained(
        run, street, f"--target=instance:{_words(left)}", f"--target=instance:cat:{_words(left)}"
    )
    assert by_box["label"] == of_class["label"] == first["label"]


def test_what_is_not_there_says_what_is(run, street):
    ran = run("explain", street, *MODEL, "--target", "instance:90,0,110,20", "--out", "maps", "--overwrite")
    assert ran.status != 0
    said = " ".join(ran.err.split())
    assert "The photo is 200 wide and 100 high; the nearest detections are cat at (" in said
    ran = run("explain", street, *MODEL, "--target", "instance:cta", "--out", "maps", "--overwrite")
    assert "Did you mean 'cat'?" in ran.err


def _box(label: str) -> tuple[int, ...]:
    return tuple(map(int, label.partition("(")[2].rstrip(")").split(", ")))


def _words(box: tuple[int, ...]) -> str:
    return ",".join(map(str, box))
