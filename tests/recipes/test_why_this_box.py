"""Recipe 9: a small detector and its instances, in a small setting."""

from __future__ import annotations

import pytest

from tests.recipes.running import pictures, run


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("box")
    return run("09_why_this_box.py", out, "--steps", "300", "--held-out", "12") | {"out": out}


@pytest.mark.slow
def test_the_detector_finds_animals(found):
    assert found["seen"] > 0.5 * found["there"]


@pytest.mark.slow
def test_the_map_of_a_box_is_in_the_box(found):
    own, others, area = found["looked"]["ODAM"]
    assert own > 3 * area
    assert own > 5 * others


@pytest.mark.slow
def test_its_pictures_are_there(found):
    assert set(pictures(found["out"])) == {"class", "instances"}
