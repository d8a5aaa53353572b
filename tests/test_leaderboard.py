"""The leaderboard: its page is made of the rows that are kept; photos, rows and rankings by hand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks import photos as photos_module
from benchmarks.photos import FOLDERS, MissingPhotosError, check, photos
from benchmarks.trust.__main__ import main, run
from benchmarks.trust.in_mosaics import share_in_mosaic
from benchmarks.trust.kept_rows import KEPT, Row, append, read
from benchmarks.trust.page import END, FIGURE, LEAST, START, localisation, made
from benchmarks.trust.ranking import agreement, standings, together, wilson
from benchmarks.trust.tests_of_maps import BASELINES, TESTS, Test, _distinct, _trusted

import camscope
from camscope.trust import Interval, Verdict
from camscope.trust.bca import bca_intervals
from camscope.trust.method_candidates import ENOUGH

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "leaderboard.md").read_text("utf-8")


@pytest.fixture(scope="module")
def kept() -> list[Row]:
    return read(KEPT)


def row(photo: str, values: dict, *, series: str = "", test: str = "verdict") -> Row:
    return Row(
        "demo",
        photo,
        test,
        series or photo,
        "object",
        "cat",
        0.9,
        values,
        {},
        1.0,
        "camscope 0",
        "2026-11-30",
    )


def judged(fidelity: float | None, verdict: str = "BEATS") -> dict:
    return {"fidelity": fidelity, "ceiling": 0.5, "p": 0.01, "verdict": verdict}


# ---------------------------------------------------------------------- the page


@pytest.mark.slow
def test_every_number_of_the_page_comes_from_the_rows(kept):
    assert START in PAGE
    part = START + PAGE.partition(START)[2].partition(END)[0] + END
    assert made(kept) == part, "run: python -m benchmarks.trust --page docs/leaderboard.md"
    assert (DOCS / FIGURE).is_file()


def test_the_page_and_its_figure_name_the_methods_of_the_rows(kept):
    shown = [r for r in kept if sum((o.model, o.test) == (r.model, r.test) for o in kept) >= LEAST]
    methods = {method for r in shown for method in r.values}
    assert all(f"`{method}`" in PAGE for method in methods)
    assert set(BASELINES) <= methods


def test_a_photo_is_measured_once_by_each_model_and_test(kept):
    keys = [r.key for r in kept]
    assert len(set(keys)) == len(keys)
    tests = {test.name for test in TESTS}
    known = {photo.name: photo for photo in photos()}
    for r in kept:
        assert r.test in tests
        assert (r.series, r.kind) == (known[r.photo].series, known[r.photo].kind)
        assert re.fullmatch(r"camscope \S+, torch \S+, timm \S+", r.versions)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", r.made)


def test_the_demo_model_says_of_the_photos_what_their_list_says(kept):
    known = {photo.name: photo for photo in photos()}
    for r in kept:
        if r.model == "demo":
            assert r.probability == pytest.approx(known[r.photo].probability, abs=0.02)
            assert r.target == known[r.photo].said


def test_what_the_page_says_stands_out_stands_in_the_rows(kept):
    own = [r for r in kept if (r.model, r.test) == ("demo", "verdict")]
    assert len(own) >= ENOUGH

    def over(method: str, other: str) -> Interval:
        pairs = [[r.values[m]["fidelity"] for m in (method, other)] for r in own]
        judged = [(a - b, r.series) for (a, b), r in zip(pairs, own, strict=True) if None not in (a, b)]
        values, series = zip(*judged, strict=True)
        return bca_intervals(np.array(values)[:, None], groups=series)[0]

    assert over("finercam", "layercam").low > 0
    assert over("gradcam", "layercam").low > 0
    assert over("layercam", "mean-activation").low > 0
    said = {s.method: s for s in standings(own)}
    assert {said[m].verdict for m in ("kpcacam", "fem")} == {"no better than mean-activation"}
    assert all(s.beats.high < 0.5 for s in said.values())
    best = max(said.values(), key=lambda s: s.means["fidelity"].value)
    assert 0.5 < best.means["fidelity"].value / best.means["ceiling"].value < 0.65


def test_where_tests_contradict_each_other_on_the_page_they_do_in_the_rows(kept):
    def means(test: str, number: str) -> dict[str, Interval]:
        own = standings([r for r in kept if (r.model, r.test) == ("demo", test)])
        return {s.method: s.means[number] for s in own}

    drop = means("seen", "average_drop")
    assert all(drop["random"].value < drop[m].value for m in ("eigencam", "kpcacam", "fem", "centre"))
    mosaics = localisation((DOCS / "facts" / "localisation.md").read_text("utf-8"))
    assert mosaics["guided-gradcam"] == max(mosaics.values())
    finer = means("verdict, finer", "fidelity")
    assert finer["guided-gradcam"].high < finer["random"].low
    fidelity = means("verdict", "fidelity")
    assert fidelity["reciprocam"].value == pytest.approx(fidelity["gradcam"].value, abs=0.02)
    assert mosaics["reciprocam"] < 0.27
    srg = means("seen", "srg")
    _, table = agreement(
        {"srg": {k: v.value for k, v in srg.items()}, "fidelity": {k: v.value for k, v in fidelity.items()}}
    )
    assert table[0, 1] > 0.9


def test_maps_that_follow_the_weights_are_those_that_the_page_says(kept):
    own = standings([r for r in kept if (r.model, r.test) == ("demo", "checks")])
    follows = {s.method: s.means["follows_weights"] for s in own}
    assert min(follows[m].value for m in ("gradcam", "finercam")) > 0.9
    assert max(follows[m].value for m in ("layercam", "gradcam++")) < 0.15
    assert follows["guided-gradcam"].value == 0
    assert 0.15 < follows["guided-gradcam"].high < 0.3  # none of so few may be some of many
    alike = {s.method: s.means["other_class"].value for s in own}
    assert alike["centre"] == alike["mean-activation"] == 0 < alike["gradcam"]


def test_of_each_network_there_are_mosaics_that_know_chance(kept):
    for model in ("demo", "lite1"):
        found = {s.method: s.means["in_mosaic"] for s in standings(of_test(kept, model, "mosaics"))}
        assert found["centre"].value == pytest.approx(0.25, abs=0.005)
        assert found["random"].low < 0.25 < found["random"].high
        assert found["gradcam"].low > 0.5


def of_test(rows: list[Row], model: str, test: str) -> list[Row]:
    return [r for r in rows if (r.model, r.test) == (model, test)]


def test_fidelity_ranks_as_the_mosaics_do(kept):
    own = standings([r for r in kept if (r.model, r.test) == ("demo", "verdict")])
    ranked = {"fidelity": {s.method: s.means["fidelity"].value for s in own}}
    _, table = agreement(
        {**ranked, "mosaics": localisation((DOCS / "facts" / "localisation.md").read_text("utf-8"))}
    )
    assert table[0, 1] > 0.75


# ---------------------------------------------------------------------- photos


def test_the_list_has_a_hundred_photos_of_many_series():
    some = photos()
    assert len(some) >= 100
    assert len({photo.name for photo in some}) == len(some)
    assert len({photo.series for photo in some}) >= 100
    assert {photo.package for photo in some} == set(FOLDERS)
    assert all(photo.probability >= 0.1 for photo in some)
    assert [photo.name for photo in photos()] == [photo.name for photo in some]  # the same order each time


def test_a_photo_is_read_out_of_its_package():
    cat = next(photo for photo in photos() if photo.file == "chelsea.png")
    assert cat.image.size == (451, 300)
    assert cat.image.mode == "RGB"


def test_packages_that_are_missing_are_named_with_what_installs_them(monkeypatch):
    monkeypatch.setattr(photos_module, "FOLDERS", {**FOLDERS, "foolbox": ("no_such_module_at_all", "data")})
    with pytest.raises(MissingPhotosError, match=r"photos of foolbox .* pip install --no-deps .* foolbox"):
        check([photo for photo in photos() if photo.package in ("foolbox", "scikit-image")])


# ---------------------------------------------------------------------- rows and rankings


def test_a_line_that_was_cut_short_is_left_out_and_the_next_one_stands_on_its_own(tmp_path):
    file = tmp_path / "rows.jsonl"
    append(file, row("a", {"gradcam": judged(0.5)}))
    with file.open("a") as cut:
        cut.write('{"model": "demo", "pho')
    append(file, row("b", {"gradcam": judged(None, "UNJUDGED")}))
    assert [r.photo for r in read(file)] == ["a", "b"]
    assert read(file)[1].values["gradcam"]["fidelity"] is None


def test_what_has_a_row_is_not_measured_again(tmp_path):
    file, some, asked = tmp_path / "rows.jsonl", photos()[:2], []

    def measure(explainer, image, methods):
        asked.append(methods)
        e = explainer(image, methods=list(methods))
        return e, {name: judged(0.1) for name in methods}, {}

    test = Test("verdict", measure, {"": ("gradcam",), "other": ()}, photos=2)
    cat = next(photo for photo in photos() if photo.file == "chelsea.png")
    explainer = camscope.Explainer("timm:tf_efficientnet_lite0", weights="random")
    run("demo", explainer, test, [cat], file)
    run("demo", explainer, test, [cat], file)
    run("other", explainer, test, some, file)  # no methods of its own: nothing to measure
    assert asked == [("gradcam", *BASELINES)]
    assert [r.key for r in read(file)] == [("demo", cat.name, "verdict")]


def test_a_page_without_rows_or_marks_is_refused(tmp_path):
    none, page = tmp_path / "rows.jsonl", tmp_path / "page.md"
    with pytest.raises(SystemExit, match="no rows yet"):
        main(["--page", str(page), "--out", str(none)])
    with pytest.raises(SystemExit, match="is not there, or lacks the lines"):
        main(["--page", str(page)])


def test_means_and_counts_are_over_photos_that_can_be_judged():
    rows = [
        row("a", {"gradcam": judged(0.4), "centre": judged(0.1, "CHANCE")}),
        row("b", {"gradcam": judged(0.2, "CHANCE"), "centre": judged(0.2, "CHANCE")}),
        row("c", {"gradcam": judged(None, "UNJUDGED"), "centre": judged(0.3, "CHANCE")}),
    ]
    best, centre = standings(rows)
    assert (best.method, centre.method) == ("gradcam", "centre")
    assert best.means["fidelity"].value == pytest.approx(0.3)
    assert best.above["centre"].value == pytest.approx(0.15)
    assert best.photos == 2
    assert best.beats.value == 0.5
    assert best.verdicts[Verdict.UNJUDGED] == 1
    assert best.verdict == "too few"


def test_a_method_is_said_to_beat_the_baselines_that_it_beats_and_no_others():
    random = np.random.default_rng(0)
    rows = []
    for i in range(60):
        level = random.normal(0.3, 0.1)
        values = {name: judged(level + random.normal(0, 0.02)) for name in ("good", "mean-activation")}
        values |= {"centre": judged(level - 0.2), "random": judged(random.normal(0, 0.05))}
        values["better"] = judged(level + 0.1)
        rows.append(row(str(i), values))
    said = {s.method: s.verdict for s in standings(rows)}
    assert said["better"] == "beats all baselines"
    assert said["good"] == "no better than mean-activation"


def test_photos_of_one_series_are_one_witness():
    values = [0.0, 0.1, 0.5, 0.6, 0.2, 0.9]
    alone = [row(str(i), {"gradcam": judged(v)}) for i, v in enumerate(values)]
    thrice = [
        row(f"{i} {k}", {"gradcam": judged(v)}, series=str(i)) for i, v in enumerate(values) for k in range(3)
    ]
    one, other = (standings(rows)[0].means["fidelity"] for rows in (alone, thrice))
    assert other.value == pytest.approx(one.value)
    assert (other.low, other.high) == pytest.approx((one.low, one.high))


def test_maps_that_are_the_same_stand_together():
    rows = [row(str(i), {"a": judged(i / 9), "b": judged(i / 9), "c": judged(i / 8)}) for i in range(5)]
    assert [names for names, _ in together(standings(rows))] == [("c",), ("a", "b")]


def test_wilsons_interval_by_hand():
    # Wilson 1927: 9 of 10 at 95 %
    assert (wilson(9, 10).low, wilson(9, 10).high) == pytest.approx((0.59585, 0.98212), abs=1e-5)
    assert wilson(0, 20).low == pytest.approx(0, abs=1e-12)
    assert np.isnan(wilson(0, 0).value)


def test_tests_that_rank_the_other_way_round_have_minus_one():
    first = {name: float(i) for i, name in enumerate("abcdef")}
    names, table = agreement({"one": first, "other": {k: -v for k, v in first.items()}, "few": {"a": 1.0}})
    assert names == ["one", "other", "few"]
    assert table[0, 1] == pytest.approx(-1)
    assert np.isnan(table[0, 2])


def test_the_localisation_table_is_read():
    found = localisation((DOCS / "facts" / "localisation.md").read_text("utf-8"))
    assert found["gradcam"] == pytest.approx(0.82)
    assert {"layercam", "random", "scorecam"} <= set(found)


# ---------------------------------------------------------------------- what is measured


@pytest.fixture(scope="module")
def explainer(request):
    return camscope.Explainer("timm:tf_efficientnet_lite0", weights="random")


def test_maps_that_are_multiples_of_another_are_measured_once(explainer):
    cat = next(photo for photo in photos() if photo.file == "chelsea.png")
    _, maps, same = _distinct(explainer, cat.image, ["gradcam", "hirescam", "centre"])
    assert same == {"gradcam": "gradcam", "hirescam": "gradcam", "centre": "centre"}
    assert set(maps) == {"gradcam", "centre"}


@pytest.mark.slow
def test_the_verdict_of_each_method_is_kept_with_what_it_is_made_of(explainer):
    cat = next(photo for photo in photos() if photo.file == "chelsea.png")
    e, values, facts = _trusted(explainer, cat.image, ["gradcam", "centre"])
    assert e.methods == ("gradcam", "centre")
    direct = explainer.trust(cat.image, methods=["gradcam", "centre"], checks="fidelity").rows
    for name, said in zip(values, direct, strict=True):
        assert values[name]["verdict"] == said.verdict.name
        assert values[name]["fidelity"] == pytest.approx(said.fidelity.value, abs=1e-4)
    assert facts["removed 7×7"] == pytest.approx(0.2)


def test_a_photo_is_found_in_a_mosaic_that_it_stands_in():
    """A cat beside three others; what knows no class has its area's share."""
    cat = next(photo for photo in photos() if photo.file == "chelsea.png")
    e, shares = share_in_mosaic(
        camscope.Explainer("demo"), cat.image, ["gradcam", "centre"], ["scikit-image"]
    )
    assert len(e) == 1
    assert shares["gradcam"] > 0.4
    assert shares["centre"] == pytest.approx(0.25)
