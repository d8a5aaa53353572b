"""What a judgement says: one sentence for one map, for several, for several images; its table."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from camscope.trust import Compared, Interval, Verdict
from tests.results.made import made
from tests.trust.made_judgements import CLASS, judgement, row


def test_one_map_that_says_where():
    said = judgement(row()).verdict
    assert said == (
        "This map says where the evidence for cat is: 78 % of what a heatmap of this grid could explain "
        "(fidelity 0.61, 0.52 to 0.69; 128 probes); better than the centre and than the mean activation."
    )


def test_one_map_that_does_not_say_where_names_what_does_as_well():
    chance = judgement(row(Verdict.CHANCE, p=0.31)).verdict
    assert chance.startswith(
        "This map of the evidence for cat cannot be told from chance: the same map at other places"
    )
    assert "p = 0.31" in chance
    level = Compared(Interval(0.6, 0.5, 0.7), Interval(0.01, -0.08, np.inf))
    centre = judgement(row(Verdict.NO_BETTER_THAN_CENTRE, baselines={"centre": level})).verdict
    assert "no better than the centre of the image: a blob in the middle" in centre
    assert "has 0.60, and the map little more" in centre
    assert "its lead of 0.01 may be as little as −0.08" in centre
    behind = Compared(Interval(0.7, 0.5, 0.7), Interval(-0.09, -0.2, np.inf))
    mean = judgement(row(Verdict.NO_BETTER_THAN_MEAN, baselines={"mean-activation": behind})).verdict
    assert "no better than mean activation: the layer's mean activation" in mean
    assert "has 0.70, and the map no more (fidelity 0.61" in mean


def test_one_map_that_cannot_be_judged_says_why():
    said = judgement(row(Verdict.UNJUDGED)).verdict
    assert said == (
        "This map of the evidence for cat cannot be judged: the map is flat: it is the same everywhere, so it says "
        "nothing of where."
    )


def test_evidence_against_is_called_so():
    assert "the evidence against cow" in judgement(row(target="not cow")).verdict


@pytest.mark.parametrize(
    ("ceiling", "share"),
    [(0.61, "100 %"), (0.5, "100 %"), (1.22, "50 %"), (0.0, "–"), (-0.2, "–")],
    ids=["reached", "passed", "half", "none", "negative"],
)
def test_a_share_of_the_ceiling_lies_between_0_and_100_percent(ceiling, share):
    (cells,) = judgement(row(ceiling=ceiling)).table().rows
    assert cells[2] == share


def test_a_map_that_is_worse_than_nothing_explains_none_of_it():
    (cells,) = judgement(row(Verdict.CHANCE, fidelity=Interval(-0.4, -0.5, -0.3))).table().rows
    assert cells[2:4] == ("0 %", "−0.40 (−0.50, −0.30)")


def test_several_maps_of_one_image_are_counted_and_the_others_named():
    said = judgement(
        row(),
        row(method="layercam", layer="late"),
        row(Verdict.CHANCE, method="eigencam"),
        row(Verdict.UNJUDGED, method="eigencam", layer="late"),
        e=made()[0],
    ).verdict
    assert said == (
        "2 of 4 maps say where the evidence for cat is: gradcam at early (78 % of its ceiling, fidelity 0.61, 0.52 to "
        "0.69) and layercam at late (78 % of its ceiling, fidelity 0.61, 0.52 to 0.69) (128 probes). Cannot be told "
        "from chance: eigencam at early. Cannot be judged: eigencam at late."
    )


def test_of_no_map_that_says_where_it_says_none():
    said = judgement(row(Verdict.CHANCE), row(Verdict.CHANCE, method="eigencam"), e=made()[0]).verdict
    assert said.startswith(
        "None of 2 maps says where the evidence for cat is (128 probes). Cannot be told from chance"
    )


def test_several_targets_have_a_sentence_each():
    said = judgement(row(), row(Verdict.CHANCE, target="not cow"), e=made()[0]).verdict
    assert "This map says where the evidence for cat is" in said
    assert "This map of the evidence against cow cannot be told from chance" in said


def test_several_images_are_counted_by_map_and_few_of_them_are_called_few():
    rows = [
        row(image=image, method=method, verdict=verdict, target=("cat", "hen")[image])
        for image in range(2)
        for method, verdict in (("gradcam", Verdict.BEATS), ("layercam", Verdict.UNJUDGED))
    ]
    assert judgement(*rows).verdict == (
        "Says where the evidence is: gradcam in 2 of 2 images; layercam in 0 of 2 images (2 cannot be judged). Fewer "
        "than 50 images are too few to say which is better."
    )
    one = [one for one in rows if one.method == "gradcam"]
    assert judgement(*one).verdict == "Says where the evidence is: gradcam in 2 of 2 images."


def test_the_table_has_the_columns_in_which_maps_differ_and_all_that_is_to_be_known():
    j = judgement(
        row(checks=(CLASS,)),
        row(Verdict.CHANCE, method="eigencam", notes=("eigencam knows no class.",)),
        e=made()[0],
    )
    table = j.table()
    assert table.columns == [
        "method", "verdict", "of ceiling", "fidelity", "centre", "mean activation", "p"
    ]  # fmt: skip
    assert table.rows[0] == (
        "gradcam", "beats all baselines", "78 %", "0.61 (0.52, 0.69)", "0.40", "0.52", "0.0026"
    )  # fmt: skip
    assert table.bold == {0}
    assert table.caption.splitlines() == [
        "128 probes, each without 20 % of 4×6 cells, filled by blur (64) and ROAD (64); score: log-probability; "
        "seed 7. Intervals: 95 %.",
        "class: gradcam: 0.25: between the maps of a and b",
        "eigencam: eigencam knows no class.",
    ]
    assert repr(j) == f"{j.verdict}\n\n{table.text()}"


def test_the_table_of_several_images_has_their_names_and_the_numbers_of_further_tests():
    table = judgement(row(checks=(CLASS,)), row(image=1, target="hen")).table()
    assert table.columns[:2] == ["image", "target"]
    assert [cells[0] for cells in table.rows] == ["image 0", "image 1"]
    assert table.columns[-1] == "class"
    assert [cells[-1] for cells in table.rows] == ["0.25", "–"]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_word_of_the_table_is_broken_and_no_number_cut(width):
    long = "smooth(layercam, n=16)"
    e = made(methods=(long, "gradcam"))[0]
    j = judgement(row(method=long), row(Verdict.NO_BETTER_THAN_MEAN, method="gradcam"), e=e)
    lines = j.table().text(width).splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert {
        "smooth(layercam," if width > 80 else "n=16)",
        "activation",
        "baselines",
        "0.69)",
        "0.0026",
        "ceiling",
    } <= set(words)


def test_a_failed_test_is_marked():
    failed = dataclasses.replace(CLASS, passed=False, says="the same map for a and for b")
    assert (
        "class: 0.25 ✗: the same map for a and for b"
        in judgement(row(checks=(failed,)), e=made()[0]).table().caption
    )
