"""Compositions under the names the literature gives them: what each is, and what becomes of it in a result."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import camscope
from camscope import Preprocessing
from camscope.composition import NAMED, Composition, check, fuses, parse, simplified
from camscope.composition.named import list_methods
from camscope.methods import list_methods as registered
from tests.composition.test_fusion import LAYERS, deep
from tests.torch.nets import batch

pytestmark = pytest.mark.filterwarnings("ignore::camscope.errors.CamscopeWarning")
X = batch(2, 3, 32, 32, dtype=torch.float64)
BLACK = Preprocessing((32, 32), 32, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.5))

LITERATURE = {
    "finercam": "finer(gradcam, gamma=0.6, count=3, weighting=mean)",
    "shapleycam": "rest(shapley)",
    "smoothgradcam++": "smooth(gradcam++, average=gradients)",
    "smooth-fullgrad": "smooth(fullgrad, n=25, average=gradients)",
    "sscam": "smooth(scorecam-paper)",
    "iscam": "path(scorecam-paper, baseline=zero, n=10)",
    "integrated-gradcam": "path(gradcam, baseline=black, n=20)",
    "cameras": "multiscale(hirescam, sizes=["
    + ", ".join(repr(size / 224) for size in (224, 324, 424, 524, 624, 724, 824, 924))
    + "], at=input)",
    "augmented-gradcam": "augment(gradcam, transforms=[0.9, 1.0, 1.1, flip*0.9, flip, flip*1.1])",
    "layercam-fused": "fuse(layercam, how=max, gamma=2)",
    "refinecam": "fuse(gradcam++, how=product)",
    "zoomcam": "fuse(hirescam, how=max)",
    "polycam+": "fuse(pcam+, how=cascade)",
    "polycam-": "fuse(pcam-, how=cascade)",
    "polycam": "fuse(pcam, how=cascade)",
}


def test_every_name_is_here():
    assert set(LITERATURE) == set(NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_a_name_stands_for_what_the_paper_composes(name):
    named = parse(name)
    assert named.inner == parse(LITERATURE[name])
    assert named.name == name
    assert simplified(named) == parse(LITERATURE[name])
    assert parse(named.formula) == named.inner, "what is shown as its formula can be written"
    check(simplified(named))


@pytest.mark.parametrize("name", NAMED)
def test_a_named_method_says_what_a_reader_must_know(name):
    named = NAMED[name]
    assert re.search(r"(19|20)\d\d", named.paper)
    assert len(named.advice) > 30
    assert named.advice.endswith(".")
    assert named.cost
    assert named.needs == named.method.needs
    assert named.class_specific == named.method.class_specific
    assert named.rectified == named.inner.rectified


def test_the_list_is_the_family_then_what_is_made_of_it_then_baselines():
    names = [m.name for m in list_methods()]
    assert len(set(names)) == len(names)
    family = [m.name for m in registered() if not m.baseline]
    assert names == [*family, *NAMED, "mean-activation", "random", "centre"]
    assert names == [m.name for m in camscope.list_methods()]
    for name in names:
        assert parse(name).name == name


@pytest.fixture(scope="module")
def both() -> tuple[camscope.Explanation, camscope.Explanation]:
    """All named methods, and what they stand for written out, of one model."""
    explainer = camscope.Explainer(deep(), preprocessing=BLACK, class_names=list("abcde"))
    call: dict[str, Any] = {"targets": [1, "e"], "layers": LAYERS, "seed": 3}
    named = [name for name in NAMED if name not in ("sscam", "cameras")]  # alike, and slow
    return (
        explainer(X, methods=named, **call),
        explainer(X, methods=[LITERATURE[name] for name in named], **call),
    )


def test_a_named_map_is_that_of_what_it_stands_for(both):
    named, written = both
    assert len(named.methods) == len(NAMED) - 2
    for name, m in zip(named.methods, written.methods, strict=True):
        assert parse(m) == parse(name).inner
        layers = [layer for by, layer in named.raw if by == name]
        assert layers == [layer for by, layer in written.raw if by == m]
        assert layers == (
            ["stem, body, last"] if fuses(parse(name)) else ["model"] if name == "smooth-fullgrad" else LAYERS
        )
        for layer in layers:
            assert torch.equal(named.raw[name, layer], written.raw[m, layer]), (name, layer)


def test_no_two_named_methods_are_the_same_map(both):
    named, _ = both
    last = {name: named.raw[name, "last"] for name in named.methods if (name, "last") in named.raw}
    for a in last:
        for b in last:
            assert a == b or not torch.allclose(last[a], last[b], rtol=1e-3), (a, b)


def test_provenance_says_what_a_name_stands_for(both):
    named, written = both
    assert named.provenance["compositions"] == {name: parse(LITERATURE[name]).name for name in named.methods}
    assert named.provenance["methods"] == {name: NAMED[name].paper for name in named.methods}
    assert written.provenance["compositions"] == {}, "what is written out stands for itself"
    assert named.provenance["seed"] == 3


def test_provenance_says_what_is_really_run():
    """Names inside, and changes of the target from outside, are written out."""
    e = camscope.explain(
        deep(), X, methods=["smooth(finercam, n=2)", "finer(refinecam)", "gradcam"], layers=LAYERS
    )
    assert e.provenance["compositions"] == {
        "smooth(finercam, n=2)": "smooth(finer(gradcam), n=2)",
        "finer(refinecam)": "fuse(finer(gradcam++), how=product)",
    }
    assert set(e.provenance["methods"]) == set(e.methods)


def test_a_name_and_what_it_stands_for_may_both_be_asked_for():
    """The work is done once, and both are in the result under their own names."""
    e = camscope.explain(
        deep(), X, methods=["finercam", "finer(gradcam)", "finer( gradcam )"], layers="last", targets=1
    )
    assert list(e.raw) == [("finercam", "last"), ("finer(gradcam)", "last")]
    assert torch.equal(e.raw["finercam", "last"], e.raw["finer(gradcam)", "last"])
    assert e.facts["finercam"].paper != e.facts["finer(gradcam)"].paper


# ------------------------------------------------------------------ in a result


def test_facts_are_of_the_composition(both):
    named, _ = both
    for name in named.methods:
        e = parse(name)
        assert isinstance(e, Composition)
        facts = named.facts[name]
        assert (facts.paper, facts.rectified, facts.class_specific) == (
            e.paper,
            e.rectified,
            e.class_specific,
        )
    assert named.facts["finercam"].rectified
    assert not named.facts["integrated-gradcam"].rectified


def test_explanations_of_compositions_are_kept_and_read_back(both, tmp_path):
    """Brackets, commas, lists and plus signs in the names of arrays; and the file opens without camscope."""
    for i, e in enumerate(both):
        path = e.save(tmp_path / f"{i}.npz")
        again = camscope.load(path)
        assert list(again.raw) == list(e.raw)
        for key, maps in e.raw.items():
            np.testing.assert_array_equal(again.raw[key], maps.numpy())
            np.testing.assert_allclose(again.heatmaps(*key), e.heatmaps(*key).numpy(), rtol=0, atol=1e-12)
        assert again.facts == dict(e.facts)
        assert again.status == e.status
        assert again.targets == e.targets
        assert again.notes == e.notes
        assert again.provenance["compositions"] == e.provenance["compositions"]
        with np.load(path, allow_pickle=False) as file:
            document = json.loads(str(file["json"]))
            for method, layer in document["keys"]:
                assert file[f"maps/{method}/{layer}"].shape[:2] == (2, 2)
                assert parse(method).name == method, "what is in the file can be asked for again"


def test_maps_of_the_whole_model_stand_beside_those_of_layers():
    """Under the layer `model`, once, whatever layers are named, at the input's own size."""
    methods = ["gradcam", "rise(n=6)", "fullgrad", "smooth(fullgrad, n=2)", "fuse(layercam)", "eigencam"]
    e = camscope.explain(deep(), X, methods=methods, targets=[1, 4], layers=["body", "last"])
    assert list(e.raw) == [
        ("gradcam", "body"),
        ("gradcam", "last"),
        ("rise(n=6)", "model"),
        ("fullgrad", "model"),
        ("smooth(fullgrad, n=2)", "model"),
        ("fuse(layercam)", "body, last"),
        ("eigencam", "body"),
        ("eigencam", "last"),
    ]
    assert e.layers == ("body", "last", "model", "body, last")
    assert {e.raw[name, "model"].shape for name in methods[1:4]} == {(2, 2, 32, 32)}
    for (method, layer), maps in e.raw.items():
        heat = e.heatmaps(method, layer)
        assert heat.shape == (2, 2, 32, 32)
        assert heat.isfinite().all()
        assert maps.shape[:2] == (2, 2)
    assert torch.equal(e.raw["eigencam", "last"][:, 0], e.raw["eigencam", "last"][:, 1]), "knows no class"
    # where a method has one map, its layer need not be said
    assert torch.equal(e.heatmaps("rise(n=6)"), e.heatmaps("rise(n=6)", "model"))
    assert torch.equal(e.heatmaps("fuse(layercam)"), e.heatmaps("fuse(layercam)", "body, last"))


def test_a_method_of_the_model_alone_needs_no_layer():
    e = camscope.explain(deep(), X, methods="rise(n=6)", targets=1)
    assert list(e.raw) == [("rise(n=6)", "model")]
    assert e.provenance["layers"]["layers"] == {}


@pytest.mark.parametrize("by", ["methods", "targets"])
def test_a_figure_of_methods_at_different_layers(by, tmp_path):
    methods = ["gradcam", "rise(n=6)", "fuse(layercam)", "smooth(gradcam, n=2)"]
    e = camscope.explain(deep().float(), X.float(), methods=methods, targets=[1, 4], layers=["body", "last"])
    options: dict[str, Any] = {"target": 1} if by == "methods" else {"method": "rise(n=6)"}
    figure = e.figure(by=by, **options)
    figure.savefig(tmp_path / "figure.png")
    assert Path(tmp_path / "figure.png").stat().st_size > 1000
    words = " ".join(text.get_text() for text in figure.findobj(lambda o: hasattr(o, "get_text")))
    if by == "methods":
        assert all(name in words for name in methods)
        assert "body, last" in words
    assert e._repr_html_()


def test_every_map_has_a_status_of_its_own():
    """A class that no channel speaks for: all-negative, flat or ok, method by method."""
    model = deep(linear=True)
    with torch.no_grad():
        weight = model.head[-1].weight
        weight[1] = weight[1].abs()
        weight[4] = -weight[4].abs()
    methods = [
        "gradcam",
        "finer(gradcam, gamma=0)",
        "fuse(gradcam, product)",
        "path(gradcam, zero, 2)",
        "rise(n=6)",
        "mean-activation",
    ]
    e = camscope.explain(model, X, methods=methods, targets=[1, 4], layers=["body", "last"])
    status = {key: [tuple(map(str, image)) for image in rows] for key, rows in e.status.items()}
    assert set(status) == set(e.raw)
    both_ways = [("ok", "all-negative")] * 2
    assert status["gradcam", "last"] == both_ways
    assert status["finer(gradcam, gamma=0)", "last"] == both_ways
    assert (
        status["path(gradcam, baseline=zero, n=2)", "last"] == [("ok", "flat")] * 2
    )  # rectified inside the sum
    assert [s for _, s in status["fuse(gradcam, how=product)", "body, last"]] == ["flat"] * 2
    assert status["mean-activation", "last"] == [("ok", "ok")] * 2
