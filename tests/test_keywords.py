"""Keywords as people write them, names that are misspelt, and objects that show, copy and keep themselves."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

import camscope
from camscope.errors import InputError, KeywordError
from camscope.keywords import keywords
from tests.conftest import make_tiny_cnn

NAMES = ["ant", "bee", "cat", "dog", "elk"]


@pytest.fixture(scope="module")
def explainer():
    return camscope.Explainer(make_tiny_cnn(), class_names=NAMES)


@pytest.fixture(scope="module")
def x():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def e(explainer, x):
    return explainer(x, methods=["gradcam", "layercam"], targets=[1, 2], layers="body_relu")


# ------------------------------------------------------------------ singular and plural


def test_singular_and_plural_are_the_same(explainer, x, e):
    one = explainer(x, method=["gradcam", "layercam"], target=[1, 2], layer="body_relu")
    assert one.raw.keys() == e.raw.keys()
    assert all(maps.equal(e.raw[key]) for key, maps in one.raw.items())
    again = camscope.explain(
        make_tiny_cnn(), x, method="gradcam", target=1, layer="body_relu", class_name=NAMES, channel=2
    )
    assert again.class_names == NAMES
    assert again.channels["body_relu"].index.shape == (3, 1, 2)
    assert e.maps(methods="gradcam", layers="body_relu").equal(e.maps("gradcam"))
    assert np.array_equal(e.overlay(1, methods="gradcam", targets=1), e.overlay(1, 1, "gradcam"))
    assert len(e.boxes(methods="gradcam", component="largest")) == 3
    assert e.figure(targets=1, by="methods") is not None
    assert e.gallery(method="gradcam", image=[0, 2]) is not None
    assert explainer.concepts(x, layers="body_relu", count=2).explanation.layers == ("body_relu",)
    step = camscope.training.cam(make_tiny_cnn(), x, target=1, layers="last_relu", methods="cam")
    assert step.maps.shape == (3, 1, 8, 8)
    with camscope.record(make_tiny_cnn(), layer=["body"]) as seen:
        assert list(seen) == ["body"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda e, x: e(x, mehtods="cam"), r"explainer\(x, …\) takes no 'mehtods'\. Did you mean 'methods'"),
        (lambda e, x: e(x, mehtod="cam"), "Did you mean 'methods'"),
        (lambda e, x: e(x, tagets=1), "Did you mean 'targets'"),
        (lambda e, x: e(x, method="cam", methods="cam"), "the same. Give one"),
        (lambda e, x: e(x, task="binary"), r"belongs to camscope\.Explainer\(model, task=…\)"),
        (lambda e, x: e(x, clas_names=NAMES), r"Did you mean camscope\.Explainer\(model, class_names=…\)"),
        (lambda e, x: e(x, colormap="jet"), r"belongs to e\.figure\(colormap=…\)"),
        (lambda e, x: e(images=x), "It takes inputs"),
        (lambda e, x: e(x, unheard_of=1), "It takes inputs, methods, targets, layers"),
        (lambda e, x: camscope.explain(None, x, mehtods="cam"), r"camscope\.explain\(model, x, …\).*'methods'"),
        (lambda e, x: camscope.explain(None, x, clas_names=NAMES), "Did you mean 'class_names'"),
        (lambda e, x: camscope.Explainer(None, methods="cam"), r"belongs to explainer\(x, methods=…\)"),
        (lambda e, x: camscope.Explainer(None, proprocessing="0-1"), "Did you mean 'preprocessing'"),
        (lambda e, x: camscope.export(None, "f.onnx", clas_names=1), "Did you mean 'class_names'"),
        (lambda e, x: camscope.Recorder("f", x, lables=[1]), "Did you mean 'labels'"),
        (lambda e, x: e.concepts(x, counts=2, count=2), "the same"),
        (lambda e, x: e.layers(x, al=True), "It takes inputs, every, size"),
        (lambda e, x: e.watching(target=1), r"belongs to explainer\.from_output\(seen, targets=…\)"),
    ],
)  # fmt: skip
def test_a_keyword_that_there_is_not_names_the_right_one(explainer, x, call, says):
    """Before any work: there is not even a model in some of these."""
    with pytest.raises(KeywordError, match=says) as caught:
        call(explainer, x)
    assert isinstance(caught.value, TypeError)  # as of every function of Python
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True, 2**32])
def test_what_is_no_seed_is_refused_wherever_one_is_taken(explainer, x, e, seed):
    """Of a method that draws nothing too: the same call must not fail once another method is named."""
    calls = [
        lambda: explainer(x, seed=seed),
        lambda: explainer.trust(x, seed=seed),
        lambda: explainer.randomised(x, seed=seed),
        lambda: explainer.concepts(x, seed=seed),
        lambda: explainer.choose(list(x), seed=seed),
        lambda: camscope.explain(make_tiny_cnn(), x, seed=seed),
        lambda: camscope.metrics.srg(explainer, x, e, seed=seed),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"seed=.*expected a whole number"):
            call()


def test_numpys_whole_numbers_are_seeds(explainer, x):
    one, other = (explainer(x[:1], methods="random", seed=seed) for seed in (3, np.int64(3)))
    assert np.array_equal(
        np.asarray(one.raw[next(iter(one.raw))]), np.asarray(other.raw[next(iter(other.raw))])
    )


def test_a_list_where_one_name_is_expected(e):
    with pytest.raises(InputError, match=r"method=\['gradcam'\]: expected the name of one method"):
        e.maps(method=["gradcam"])


def test_a_function_that_passes_keywords_on_to_no_one_known_keeps_them():
    @keywords("f({})")
    def f(*, layers: int = 0, **more: int) -> dict[str, int]:
        return {"layers": layers, **more}

    assert f(layer=1, other=2) == {"layers": 1, "other": 2}


def test_images_come_first_then_targets_methods_and_layers():
    """One order of what is given by position, in every public function."""
    order = ["model", "inputs", "x", "image", "target", "method", "layer"]
    functions = [getattr(camscope, name) for name in camscope.__all__]
    for cls in (camscope.Explainer, camscope.Explanation, camscope.History):
        functions += [f for name, f in inspect.getmembers(cls, inspect.isfunction) if name[0] != "_"]
    for f in [*functions, camscope.training.cam, camscope.render.overlay]:
        if inspect.isfunction(f):
            kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD
            names = [p.name for p in inspect.signature(f).parameters.values() if p.kind is kinds]
            places = [order.index(name) for name in names if name in order]
            assert places == sorted(places), f.__qualname__
            if "image" in names:
                assert names.index("image") == names[0:1].count("self"), f.__qualname__


# ------------------------------------------------------------------ names of the package


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("explian", "Did you mean 'explain'"),
        ("Explaner", "Did you mean 'Explainer'"),
        ("GradCAM", r"a method, named by a string: camscope\.explain\(model, x, methods='gradcam'\)"),
        ("GradCAMPlusPlus", r"methods='gradcam\+\+'"),
        ("GradCAMpp", r"methods='gradcam\+\+'"),
        ("fit", r"It is camscope\.training\.fit"),
        ("smooth", r"methods='smooth\(gradcam\)'"),
        ("nothing_like_it", "has no attribute 'nothing_like_it'"),
    ],
)
def test_a_name_that_there_is_not(name, says):
    with pytest.raises(AttributeError, match=says):
        getattr(camscope, name)


def test_rooms_are_there_without_an_import_of_their_own_and_nothing_is_imported_for_it():
    code = (
        "import sys, camscope; camscope.training; camscope.targets.Class; assert 'torch' not in sys.modules; "
        "assert not hasattr(camscope, '__wrapped__'); assert not hasattr(camscope, 'explian'); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------ what an Explainer is


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_an_explainer_is_copied_and_pickled_before_and_after_its_use(again, x):
    for used in (False, True):
        explainer = camscope.Explainer(make_tiny_cnn(), class_names=NAMES, task="multilabel")
        if used:
            explainer(x)
        other = again(explainer)
        assert repr(other) == repr(explainer)
        found, expected = other(x), explainer(x)
        assert found.maps().equal(expected.maps())
        assert found.probabilities.equal(expected.probabilities)
        assert found.class_names == NAMES


def test_a_deep_copy_has_a_model_of_its_own(x):
    model = make_tiny_cnn()
    explainer = camscope.Explainer(model)
    before = explainer(x)
    other = copy.deepcopy(explainer)
    with torch.no_grad():
        model.body.weight.zero_()
    assert other(x).maps().equal(before.maps())
    assert not explainer(x).maps().equal(before.maps())


def test_its_repr_is_a_short_line(explainer):
    assert repr(explainer) == "Explainer(Sequential, 5 class names)"
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_resnet", num_classes=3)
    assert repr(camscope.Explainer(model)) == "Explainer(ResNet, photos at 160×160)"


def test_layers_are_a_table_and_a_pair(explainer, x):
    found = explainer.layers(x)
    layers, chosen = found
    assert found.names == [layer.name for layer in layers]
    assert chosen.name == "last_relu"
    lines = repr(found).splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "grid", "reaches", "score"]
    assert lines[1 + found.names.index("last_relu")].split() == [
        "→",
        "last_relu",
        "ReLU",
        "16×8×8",
        "8×8",
        "yes",
    ]
    assert "→" not in lines[1]
    html = found._repr_html_()
    assert html.count("<tr>") == 1 + len(layers)
    assert 'font-weight:600">last_relu<' in html


def test_methods_are_a_table_and_a_list(explainer, x):
    every = camscope.list_methods()
    assert isinstance(every, list)
    assert every.names[:2] == ["cam", "gradcam"]
    assert "Selvaraju et al., ICCV 2017" in every.table().text(200)
    assert "smooth(layercam, n=16)" in repr(every)
    offered = explainer.methods(x)
    assert offered.names == [offer.name for offer in offered if offer]
    assert "rollout" not in offered.names
    assert "attention" in next(row for row in offered.table().rows if row[0] == "rollout")[2]
    assert offered._repr_html_().count("<tr>") == 1 + len(offered)


# ------------------------------------------------------------------ parts


def test_some_images_are_a_list_or_an_array(e):
    assert e[[0, 2]].maps("gradcam").equal(e.maps("gradcam")[[0, 2]])
    assert e[[-1, 0]].scores.equal(e.scores[[2, 0]])
    assert e[torch.tensor([1, 1])].scores.equal(e.scores[[1, 1]])
    assert e[np.array([False, True, True])].scores.equal(e.scores[1:])
    assert e[e.logits[:, 0] == e.logits[1, 0]].scores.equal(e.scores[1:2])
    assert e[np.int64(1)].scores.equal(e[torch.tensor(1)].scores)


@pytest.mark.parametrize(
    ("which", "says"),
    [
        (True, r"True is no image's number.*e\[\[0, 5\]\]"),
        (1.0, r"1\.0 is no image's number"),
        (None, "None is no image's number"),
        ([0, 1.5], "is no image's number"),
        ([True, False], "2 truth values were given for 3 images"),
        ([], "the list is empty"),
        (np.zeros(3, bool), "nothing in it is True"),
        ((0, 2), r"some images are a list, e\[\[0, 5\]\]"),
        ([0, 9], "There is no image 9"),
        (np.zeros((2, 2), int), "expected numbers of images in one row"),
    ],
)
def test_what_means_no_image_says_what_would(e, which, says):
    with pytest.raises((TypeError, IndexError), match=says):
        e[which]
