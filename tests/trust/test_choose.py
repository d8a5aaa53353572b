"""`explainer.choose`: on photos whose truth is planted, what is recommended, how sure it is, and what is refused."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

import camscope
from camscope.engine.photo_set import PhotoSet
from camscope.trust import Candidate, Choice, Interval, read_choice
from camscope.trust.verdict import Compared
from tests.trust.coloured_patches import SIDE, Patches, explainer, folders, photos

HERE = {"layers": "colour+relu", "probes": 32, "progress": False}
BOTH = {"methods": ["eigencam", "gradcam"], **HERE}


@pytest.fixture(scope="module")
def choice():
    return explainer().choose(photos(), labels=["red", "green", "blue", "yellow"] * 15, **BOTH)


def test_what_follows_the_class_is_recommended(choice):
    """The smaller patch of another colour is what tells Grad-CAM from what only sees that there is something."""
    assert (choice.method, choice.layer) == ("gradcam", "colour+relu")
    assert choice.options == {"methods": "gradcam", "layers": ["colour+relu"]}
    best, other = choice.candidates
    assert best.located.value > 0.6
    assert other.located.value == pytest.approx(0.25)  # it knows no class
    assert choice.enough
    assert choice.beats_all
    assert choice.is_best_of_all
    assert set(best.beaten) == {one.method for one in choice.baselines}
    for baseline in choice.baselines:
        assert baseline.located.value == pytest.approx(0.25)
        lead = best.over[baseline.method].difference
        assert lead.value == pytest.approx(best.score.value - baseline.score.value)
        assert lead.low < lead.value
        assert lead.high == math.inf
    assert best.lead.value == 0
    assert other.lead.value == pytest.approx(best.score.value - other.score.value)


def test_it_says_what_it_did(choice):
    assert sum(choice.photos) + sum("cannot be judged" in note for note in choice.notes) >= 60
    assert choice.groups is None
    assert (choice.parts, choice.large) == (4, True)
    assert min(choice.mosaics) >= 5
    assert "Use gradcam at colour+relu" in choice.says
    assert "beats all baselines" in choice.says
    assert "chance 0.25" in choice.says
    assert choice.says in choice.table().caption
    shown = repr(choice)
    assert all(one.method in shown for one in (*choice.candidates, *choice.baselines))
    assert "<table" in choice._repr_html_()


def test_a_candidates_score_is_the_mean_fidelity_that_trust_gives_of_the_second_half(choice):
    from camscope.trust.halves import first_half

    ours, given = explainer(), photos()
    classes = np.asarray(ours(given, methods="centre").logits).argmax(1)
    second = np.flatnonzero(~first_half(classes, seed=0))
    rows = []
    for start in range(0, len(second), 16):
        some = [given[i] for i in second[start : start + 16]]
        rows += ours.trust(
            some, methods="gradcam", layers="colour+relu", checks="fidelity", probes=32, seed=start
        ).rows
    values = [row.fidelity.value for row in rows]
    judged = [value for value in values if not math.isnan(value)]
    assert len(judged) == choice.photos[1]
    assert np.mean(judged) == pytest.approx(choice.best.score.value)


def test_the_seed_decides(choice):
    again = explainer().choose(photos(), labels=["red", "green", "blue", "yellow"] * 15, **BOTH)
    assert again.to_dict() == choice.to_dict()


def test_it_is_kept_in_a_file(choice, tmp_path):
    file = choice.save(tmp_path / "choice")
    assert file.name == "choice.json"
    document = json.loads(file.read_text("utf-8"))
    assert document["kind"] == "camscope choice"
    assert (document["method"], document["layers"]) == ("gradcam", ["colour+relu"])
    assert document["says"] == choice.says
    assert len(document["candidates"]) == 2
    saved = read_choice(file)
    assert (saved.method, saved.layers) == ("gradcam", ("colour+relu",))
    saved.check_model(explainer().about)
    with pytest.raises(camscope.InputError, match=r"a choice for .* and this is .*Choose for this one"):
        saved.check_model(explainer(one_logit=True).about)
    with pytest.raises(camscope.InputError, match=r"saved as \.json"):
        choice.save(tmp_path / "choice.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no file"),
        ("{", "cannot be read as a choice"),
        ("[]", "holds no choice"),
        ('{"kind": "camscope choice", "method": "gradcam", "layers": "a", "model": {}}', "holds no choice"),
        ('{"method": "gradcam", "layers": null, "model": {}}', "holds no choice"),
    ],
)
def test_files_that_hold_no_choice_are_refused(content, message, tmp_path):
    file = tmp_path / "a.json"
    if content is not None:
        file.write_text(content, "utf-8")
    with pytest.raises(camscope.InputError, match=message):
        read_choice(file)


def test_the_figure_has_a_bar_for_each_candidate_and_baseline(choice):
    figure = choice.figure()
    located, score = figure.axes
    for axes, measured in ((located, "located"), (score, "score")):
        bars = [patch.get_width() for patch in axes.patches]
        rows = (*choice.candidates, *choice.baselines)
        assert bars == pytest.approx([getattr(one, measured).value for one in rows])
    assert len(choice.figure(most=1).axes[0].patches) == 1 + len(choice.baselines)
    pixels = np.asarray(figure.canvas.buffer_rgba() if figure.canvas.draw() is None else 0)[..., :3]
    assert (pixels == (0, 0x72, 0xB2)).all(-1).sum() > 500  # the recommended one stands out


# ------------------------------------------------------------------ how mosaics are made


def test_a_model_of_one_size_gets_smaller_photos_and_two_classes_get_two_halves():
    ours = explainer(fixed=True, one_logit=True)
    found = ours.choose(photos(24, ("red", "green")), methods="gradcam", **HERE)
    assert (found.parts, found.large) == (2, False)
    assert found.best.located.value > 0.7
    assert any("takes no larger input" in note for note in found.notes)
    assert any("chance 0.5" in note for note in found.notes)
    assert found.baselines[0].located.value == pytest.approx(0.5)


def test_photos_that_the_model_gets_wrong_stand_in_no_mosaic(monkeypatch):
    """Of the yellow ones all labels are wrong, so no mosaic of four can be made."""
    labels = ["red", "green", "blue", "red"] * 6
    found = explainer().choose(photos(24), labels=labels, methods="gradcam", **HERE)
    assert found.parts == 2
    assert any("6 photos that the model gets wrong" in note for note in found.notes)
    with pytest.raises(camscope.InputError, match="gets none of the 24 photos right"):
        explainer().choose(photos(24), labels=["green", "red", "red", "red"] * 6, methods="gradcam", **HERE)


def test_photos_of_one_class_make_no_mosaics_but_can_be_ranked_by_fidelity():
    with pytest.raises(camscope.InputError, match=r"'red' 12.*by='fidelity'"):
        explainer().choose(photos(12, ("red",)), **BOTH)
    found = explainer().choose(photos(12, ("red",)), by="fidelity", **BOTH)
    assert found.method == "gradcam"
    assert found.mosaics == (0, 0)
    assert len(found.figure().axes) == 1
    assert "mosaic" not in repr(found).partition("\n")[0]


# ------------------------------------------------------------------ too few, groups, broken photos


def test_too_few_photos_or_groups_claim_nothing():
    few = explainer().choose(photos(12), **BOTH)
    assert few.says.startswith("Too few: 12 photos, and at least 50 are needed")
    assert not few.beats_all
    assert not few.is_best_of_all
    groups = [number // 6 for number in range(24)]
    grouped = explainer().choose(photos(24), groups=groups, **BOTH)
    assert grouped.groups == (2, 2)
    assert grouped.says.startswith("Too few: 4 groups")
    assert grouped.best.score.low < few.best.score.value


def test_photos_of_one_group_are_one_witness_in_mosaics_too():
    """Of one patient in the second half nothing is known, in however many mosaics the photos stand."""
    photographed, options = photos(), {**HERE, "methods": "gradcam"}
    two = explainer().choose(photographed, groups=[number // 30 for number in range(60)], **options)
    assert two.mosaics[1] > 5
    assert (two.best.located.low, two.best.located.high) == (-math.inf, math.inf)
    over = [both for compared in two.best.over.values() for both in (compared.fidelity, compared.difference)]
    scores = [one.score for one in (two.best, *two.baselines)]
    assert {one.low for one in (*scores, *over, two.best.lead)} == {-math.inf}
    assert len(scores) == 4
    assert {*two.best.over} == {"centre", "mean-activation", "random"}
    several = explainer().choose(photographed, groups=[number // 5 for number in range(60)], **options)
    assert 0 < several.best.located.low < several.best.located.high < 1


def test_a_broken_photo_is_named_and_the_others_are_used(tmp_path):
    given = [*folders(tmp_path, 12), tmp_path / "broken.png"]
    given[-1].write_bytes(b"no picture")
    found = explainer().choose(given, methods="gradcam", **HERE)
    ((name, why),) = found.left_out
    assert name == str(given[-1])
    assert "broken.png" in why
    assert sum(found.photos) == 12
    with pytest.raises(camscope.InputError, match=r"No photo of 1 can be read.*broken.png"):
        explainer().choose(given[-1:], **BOTH)


@pytest.mark.parametrize("group", [None, float("nan"), ["patient", 1]])
def test_groups_that_tell_no_photos_apart_are_refused(group):
    with pytest.raises(
        camscope.InputError, match=r"The group of photo 3 is .*: expected what its photos share"
    ):
        explainer().choose(photos(12), groups=[0, 1, 2, group] * 3, **BOTH)


def test_two_halves_need_two_photos_of_two_groups():
    with pytest.raises(camscope.InputError, match=r"one half.*the 12 photos are all of one group"):
        explainer().choose(photos(12), groups=["a"] * 12, **BOTH)
    for given in (photos(1), photos(1) * 3):
        with pytest.raises(camscope.InputError, match=r"one half.*there is one photo"):
            explainer().choose(given, by="fidelity", **BOTH)


def test_photos_that_cannot_be_judged_are_left_out_for_the_reason_that_trust_gives():
    """So sure a model says the same whatever is removed: it would be untrue that all of it changes what it says."""
    net = Patches().eval()
    net.head.weight.data *= 1e5
    sure = camscope.Explainer(net, preprocessing=net.preprocessing, class_names=net.class_names)
    with pytest.raises(
        camscope.InputError,
        match=r"None of the 8 photos.* The score of \w+ does not move, whatever is removed\.",
    ):
        sure.choose(photos(16), **BOTH)


@pytest.mark.parametrize("form", ["files", "pictures", "batch"])
def test_a_photo_that_is_there_twice_is_counted_once(tmp_path, form):
    """In both halves it would be what the choice is made on and what it is tested on."""
    ours, own = explainer(), photos(12)
    twice = [*own, *own[:5]]
    if form == "files":
        for number, one in enumerate(twice):
            one.save(tmp_path / f"{number:02}.png")
        given = sorted(tmp_path.glob("*.png"))
    else:
        x = torch.from_numpy(np.stack([ours.preprocessing(one) for one in twice]))
        given = x if form == "batch" else twice
    found = ours.choose(given, methods="gradcam", **HERE)
    assert sum(found.photos) == 12
    assert sum("5 photos are left out, since the same pixels" in note for note in found.notes) == 1
    assert not found.left_out
    assert found.best.score == ours.choose(given[:12], methods="gradcam", **HERE).best.score


def test_folders_name_the_classes_if_the_model_has_them(tmp_path):
    given = folders(tmp_path, 16)
    found = explainer().choose(given, labels="folders", methods="gradcam", **HERE)
    assert not any("not known" in note for note in found.notes)
    (tmp_path / "red").rename(tmp_path / "rouge")
    given = sorted(tmp_path.rglob("*.png"))
    found = explainer().choose(given, labels="folders", methods="gradcam", **HERE)
    assert any("'rouge'" in note and "not known" in note for note in found.notes)


def test_batches_and_folders_are_photos_too(tmp_path):
    folders(tmp_path, 8)
    ours = explainer()
    by_folder = ours.choose(tmp_path, methods="gradcam", **HERE)
    assert sum(by_folder.photos) == 8
    x = torch.from_numpy(np.stack([ours.preprocessing(one) for one in photos(8)]))
    by_batch = ours.choose(x, methods="gradcam", **HERE)
    of_list = ours.choose(photos(8), methods="gradcam", **HERE)
    assert by_batch.best.located.value == pytest.approx(of_list.best.located.value)
    assert by_batch.best.score.value == pytest.approx(of_list.best.score.value)


class Other:
    """A tensor such as TensorFlow's: a list of numbers is the index of one value of it, not of rows."""

    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, at):
        return self.values[tuple(at) if isinstance(at, (list, np.ndarray)) else at]


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax", "other"])
def test_rows_of_a_batch_of_any_framework_are_taken_by_their_numbers(framework):
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    rows[3] = rows[1]
    given = {
        "numpy": lambda: rows,
        "torch": lambda: torch.from_numpy(rows),
        "jax": lambda: pytest.importorskip("jax.numpy").asarray(rows),
        "other": lambda: Other(rows),
    }[framework]()
    own = PhotoSet(given, None)
    np.testing.assert_array_equal(np.asarray(own.some([4, 0])), rows[[4, 0]])
    chunks = [(numbers.tolist(), np.asarray(some).tolist()) for numbers, some in own.chunks(3)]
    assert chunks == [([0, 1, 2], rows[:3].tolist()), ([4], rows[4:].tolist())]
    assert own.again == {3: 1}


# ------------------------------------------------------------------ candidates


def test_by_default_cheap_methods_at_the_automatic_layer_and_its_runners_up():
    heard = []
    found = explainer().choose(photos(8), probes=32, progress=False, tell=heard.append)
    assert {one.at for one in found.candidates} == {"colour+relu", "colour"}
    methods = {one.method for one in found.candidates}
    assert {"gradcam", "layercam", "hirescam"} <= methods
    assert not methods & {"scorecam", "rise", "eigencam", "centre"}
    (price,) = heard
    assert f"{len(found.candidates)} candidates cost about" in price
    assert "32 for each of 4 photos" in price
    same = [one for one in found.candidates if one.same]
    assert (found.best.method in ("gradcam", "hirescam", "xgradcam")) == bool(same)


def test_fusions_and_methods_of_the_whole_model_are_candidates_too():
    found = explainer().choose(
        photos(8), methods=["gradcam", "rise(n=32)"], probes=32, progress=False, seed=1
    )
    (whole,) = (one for one in found.candidates if one.method == "rise(n=32)")
    assert (whole.layers, whole.name) == (None, "rise(n=32)")
    assert set(whole.over) == {one.method for one in found.baselines}


def test_the_price_is_what_the_model_runs_on():
    seen = []

    class Counting(Patches):
        def forward(self, x):
            seen.append(len(x) * x.shape[-1] * x.shape[-2] / SIDE**2)
            return super().forward(x)

    counted = Counting().eval()
    ours = camscope.Explainer(counted, preprocessing=counted.preprocessing, class_names=counted.class_names)
    heard = []
    ours.choose(photos(16), methods="gradcam", tell=heard.append, **{**HERE, "probes": 64})
    price = int(heard[0].split("about ")[1].split(" forwards")[0].replace(",", ""))
    assert 0.9 * price < sum(seen) < 1.4 * price + 60


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([], {}, "the list is empty"),
        (5, {}, "photos of the type int"),
        ("nowhere", {}, "'nowhere' does not exist"),
        (8, {"by": "fidelty"}, "Did you mean 'fidelity'"),
        (8, {"labels": ["red"]}, "1 labels for 8 photos"),
        (8, {"labels": "red"}, "'folders' for the names"),
        (8, {"groups": ["a"] * 9}, "9 groups for 8 photos"),
        (8, {"groups": "patient"}, "expected one for each photo"),
        (8, {"probes": 3}, "32 at least"),
        (8, {"groups": ["a"] * 8}, "the 8 photos are all of one group: nothing is left"),
        (1, {}, "there is one photo: nothing is left"),
    ],
)
def test_mistakes_are_told_before_any_long_work(given, options, message):
    given = photos(given) if isinstance(given, int) and given != 5 else given
    with pytest.raises(camscope.InputError, match=message):
        explainer().choose(given, **{**BOTH, **options})


def test_unknown_methods_layers_and_labels_are_named():
    with pytest.raises(camscope.MethodError, match="Did you mean 'gradcam'"):
        explainer().choose(photos(8), **{**BOTH, "methods": "gradcm"})
    with pytest.raises(camscope.MethodError, match="no method but baselines"):
        explainer().choose(photos(8), **{**BOTH, "methods": "centre"})
    with pytest.raises(camscope.LayerError, match="colour"):
        explainer().choose(photos(8), **{**BOTH, "layers": "color"})
    with pytest.raises(camscope.TargetError, match="Did you mean 'red'"):
        explainer().choose(photos(8), labels=["redd"] * 8, **BOTH)
    with pytest.raises(camscope.InputError, match=r"takes no 'method_names'|Did you mean 'methods'"):
        explainer().choose(photos(8), method_names="gradcam")


def test_a_model_without_classes_is_refused():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 1, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    ).eval()
    ours = camscope.Explainer(net, task="regression")
    with pytest.raises(camscope.ModelError, match="no probabilities of classes"):
        ours.choose(torch.rand(8, 3, 16, 16), methods="gradcam", progress=False)


# ------------------------------------------------------------------ words


def made(**changes):
    """A choice by its facts."""
    over = {
        "centre": Compared(Interval(0.1, 0.0, 1.0), Interval(0.2, 0.1, math.inf)),
        "random": Compared(Interval(0.0, 0.0, 1.0), Interval(0.3, 0.2, math.inf)),
    }
    best = Candidate("gradcam", ("a",), "a", 0.7, Interval(0.7, 0.6, 0.8), Interval(0.3, 0.2, 0.4), over)
    other = dataclasses.replace(best, method="layercam", lead=Interval(0.1, 0.05, math.inf))
    facts = {
        "candidates": (best, other),
        "baselines": (),
        "ranking": "the grid pointing game",
        "measure": "fidelity",
        "photos": (30, 30),
        "groups": None,
        "mosaics": (7, 7),
        "lost": 0,
        "parts": 4,
        "large": True,
        "price": "",
        "model": {},
    }
    return Choice(**{**facts, **changes})


def test_words_follow_the_evidence():
    whole = made()
    assert "beats all baselines: centre by 0.20 (at least 0.10)" in whole.says
    assert "better there than the other one" in whole.says
    best, other = whole.candidates
    lost = dataclasses.replace(
        best, over={**best.over, "centre": Compared(Interval(0.3, 0.0, 1.0), Interval(0.0, -0.1, math.inf))}
    )
    partly = made(candidates=(lost, other))
    assert "beats random by 0.30 (at least 0.20), but cannot be told from centre" in partly.says
    none = {name: Compared(Interval(0.3, 0.0, 1.0), Interval(0.0, -0.1, math.inf)) for name in best.over}
    nothing = made(candidates=(dataclasses.replace(best, over=none), other))
    assert nothing.says.startswith("None is to be recommended")
    assert "cannot be told from any baseline (centre, random)" in nothing.says
    tied = made(candidates=(best, dataclasses.replace(other, lead=Interval(0.0, 0.0, math.inf))))
    assert "Whether it is better there than layercam at a cannot be told" in tied.says
    many = made(candidates=(best, *[dataclasses.replace(other, lead=Interval(0.0, 0.0, math.inf))] * 5))
    assert "better there than any of the other 5 cannot be told" in many.says
    same = made(candidates=(best, dataclasses.replace(other, same=True)))
    assert "layercam at a gives the same maps" in same.says
    assert not same.is_best_of_all
    assert made(photos=(25, 24)).says.startswith("Too few: 49 photos")
    assert made(groups=(10, 10)).says.startswith("Too few: 20 groups")
    assert "30 photos of 26 groups" in made(groups=(26, 26)).says
