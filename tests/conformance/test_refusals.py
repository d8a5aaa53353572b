"""What cannot be had is refused in words, before any work; what is optional is not asked where it is not offered."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camscope
from camscope.composition import list_methods, parse
from camscope.evidence import ATTENDED, Need, in_words
from camscope.methods import default_method
from camscope.models.batch import Batch
from camscope.models.registry import doorway_of
from tests.conformance.cases import WITH_GRADIENTS, WITHOUT_GRADIENTS, Case
from tests.conformance.networks import classifier, hidden_head, random_batch

X = random_batch()
SLOW = {"rise", "opticam", "cameras", "smooth-fullgrad", "sscam", "iscam"}
"""Methods that run the model a great many times, in a way that others do too."""


class Untouchable:
    """Stands for an input that nobody should look at yet."""

    def __getattribute__(self, name: str):
        raise AssertionError(f"looked at .{name}")


def lacking(case: Case) -> list[str]:
    """The methods that need what the framework does not offer."""
    return [m.name for m in list_methods() if m.needs_from(case.offers) - case.offers]


@contextlib.contextmanager
def asked(adapter) -> Iterator[list[frozenset[Need]]]:
    """Every need that the engine asks an adapter for."""
    found: list[frozenset[Need]] = []
    observe = adapter.observe

    def watched(batch, needs, **options):
        found.append(frozenset().union(*needs.values()))
        return observe(batch, needs, **options)

    adapter.observe = watched
    yield found
    del adapter.observe


# ------------------------------------------------------------------ methods


@pytest.mark.parametrize("case", WITHOUT_GRADIENTS, ids=str, indirect=True)
def test_a_method_that_needs_more_is_refused_before_any_work(case: Case):
    explainer = case.explainer(classifier())
    refused = lacking(case)
    assert len(refused) > 20
    able = [m.name for m in list_methods() if m.name not in refused]
    for name in refused:
        with pytest.raises(camscope.MethodError, match="This model cannot give") as error:
            explainer(Untouchable(), methods=name)
        missing = parse(name).needs_from(case.offers) - case.offers
        why = ""
        if Need.GRADIENTS in missing and Need.DIRECTIONS in case.offers:
            why = (
                " It can give directional derivatives, sums of a gradient over a channel or a position, which is all "
                "that gradcam, hirescam, xgradcam need; of single elements of the gradient they say nothing."
            )
        assert str(error.value) == (
            f"This model cannot give {in_words(missing)}, which {name} needs.{why} These would work: "
            f"{', '.join(able)}."
        )


@pytest.mark.parametrize("case", WITHOUT_GRADIENTS, ids=str, indirect=True)
def test_derivatives_along_directions_are_no_gradients(case: Case):
    """A mean that is handed out as a gradient would make wrong maps of element-wise methods, and nobody would see."""
    for name in (
        "layercam",
        "gradcam++",
        "gradcam++-official",
        "gradcam-elementwise",
        "eigengradcam",
        "shapley",
    ):
        assert name in lacking(case)
    assert not {"gradcam", "xgradcam", "hirescam"} & set(lacking(case))


@pytest.mark.parametrize("case", WITHOUT_GRADIENTS, ids=str, indirect=True)
@pytest.mark.parametrize(
    "name", ["balanced(hirescam)", "smooth(gradcam, average=gradients)", "multiscale(hirescam)"]
)
def test_compositions_of_gradients_are_refused_too(case: Case, name: str):
    with pytest.raises(camscope.MethodError, match=r"cannot give .*gradients"):
        case.explainer(classifier())(Untouchable(), methods=name)


@pytest.mark.parametrize("case", WITHOUT_GRADIENTS, ids=str, indirect=True)
def test_the_strongest_channels_take_gradients_or_directions(case: Case, monkeypatch):
    explainer = case.explainer(classifier())
    assert explainer(case.tensor(X), channels=3).channels
    monkeypatch.setattr(type(explainer._model.adapter), "offers", case.offers - {Need.DIRECTIONS})
    with pytest.raises(camscope.MethodError, match=r"cannot give gradients, which channels= needs"):
        explainer(Untouchable(), channels=3)


@pytest.mark.parametrize("case", WITH_GRADIENTS, ids=str, indirect=True)
def test_balanced_gradients_can_be_declined_by_themselves(case: Case, monkeypatch):
    """A framework that gives gradients need not know LibraGrad's rules."""
    explainer = case.explainer(classifier())
    monkeypatch.setattr(type(explainer._model.adapter), "offers", case.offers - {Need.LIBRAGRAD})
    with pytest.raises(
        camscope.MethodError, match=r"cannot give LibraGrad gradients, which balanced\(hirescam\)"
    ):
        explainer(Untouchable(), methods="balanced(hirescam)")
    assert explainer(case.tensor(X), methods="hirescam").methods == ("hirescam",)


def test_the_default_method_is_one_that_it_can_give(case: Case):
    explainer = case.explainer(hidden_head())
    assert explainer.default_method == default_method(case.offers).name
    derivatives = {Need.GRADIENTS, Need.DIRECTIONS} & case.offers
    assert explainer.default_method == ("gradcam" if derivatives else "ablationcam")
    assert explainer(case.tensor(X)).methods == (explainer.default_method,)


def test_where_no_head_is_linear_that_is_said_with_what_works(case: Case):
    """The method it names can be had from this model."""
    explainer = case.explainer(hidden_head())
    with pytest.raises(camscope.MethodError, match=r"(?s)cam needs a head.*'last_relu'.*Use") as error:
        explainer(case.tensor(X), methods="cam")
    with pytest.raises(camscope.MethodError, match="liftcam needs a head"):
        explainer(case.tensor(X), methods="liftcam")
    named = [m.name for m in list_methods() if f"'{m.name}'" in str(error.value)]
    assert named
    assert not set(named) & set(lacking(case))


@pytest.mark.parametrize(
    "offers", [{Need.ACTIVATIONS, Need.SUFFIX}, {Need.ACTIVATIONS, Need.SUFFIX, Need.LINEAR_HEAD}]
)
def test_what_is_optional_is_asked_where_it_is_offered_only(case: Case, offers: set[Need], monkeypatch):
    """Ablation-CAM has a closed form behind a linear head, and does without: the same map."""
    explainer = case.explainer(classifier())
    adapter = explainer._model.adapter
    whole = np.asarray(explainer(case.tensor(X), methods="ablationcam").maps())
    monkeypatch.setattr(type(adapter), "offers", frozenset(offers))
    with asked(adapter) as needs:
        maps = np.asarray(explainer(case.tensor(X), methods="ablationcam").maps())
    assert needs == [frozenset(offers)]
    np.testing.assert_allclose(maps, whole, rtol=1e-3, atol=1e-5)


def test_only_what_a_method_needs_is_asked(case: Case):
    explainer = case.explainer(classifier())
    with asked(explainer._model.adapter) as needs:
        explainer(case.tensor(X), methods="eigencam")
        explainer(case.tensor(X), methods=["eigencam", "reciprocam"])
    assert needs == [{Need.ACTIVATIONS}, {Need.ACTIVATIONS, Need.SUFFIX}]


def test_concepts_ask_for_a_linear_head_where_it_is_offered_only(case: Case, monkeypatch):
    """It says what each concept adds to a class; without it there are concepts all the same."""
    explainer = case.explainer(classifier())
    adapter = explainer._model.adapter
    assert explainer.concepts(case.tensor(X), count=2).class_scores is not None
    monkeypatch.setattr(type(adapter), "offers", case.offers - {Need.LINEAR_HEAD})
    with asked(adapter) as needs:
        explainer.concepts(case.tensor(X), count=2)
    assert needs == [{Need.ACTIVATIONS}]


# ------------------------------------------------------------------ inputs


def test_tensors_are_told_from_photos(case: Case):
    adapter = case.adapter(classifier())
    assert adapter.is_tensor(case.tensor(X))
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    for photo in (pixels, pixels[None], Image.fromarray(pixels), "photo.jpg", Path("photo.jpg"), None):
        assert not adapter.is_tensor(photo)


def test_inputs_come_in_the_models_precision(case: Case):
    adapter = case.adapter(classifier())
    single, double = (case.given(adapter, X.astype(kind)).x for kind in (np.float32, np.float64))
    assert single.dtype == double.dtype
    assert "float32" in str(single.dtype)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_inputs_that_are_not_finite_are_refused_naming_the_image(case: Case, value: float):
    x = X.copy()
    x[1, 0, 3, 3] = value
    with pytest.raises(camscope.InputError, match=r"NaN or infinity, in image 1 of the batch"):
        case.explainer(classifier())(case.tensor(x))


def test_an_empty_batch_is_refused(case: Case):
    with pytest.raises(camscope.InputError, match=r"batch is empty.*\(0, 3, 16, 16\)"):
        case.explainer(classifier())(case.tensor(X[:0]))


@pytest.mark.parametrize("shape", [(16, 16), (3, 16, 16)])
def test_another_rank_is_refused(case: Case, shape: tuple[int, ...]):
    """By the explainer, which may take it for a photo, and by the adapter, which says the shape."""
    x = case.tensor(np.zeros(shape, dtype=np.float32))
    with pytest.raises(camscope.InputError):
        case.explainer(classifier())(x)
    adapter = case.adapter(classifier())
    with pytest.raises(camscope.InputError) as error:
        adapter.layers(adapter.batch(Batch((x,))))
    assert str(tuple(shape)) in str(error.value)


def test_weights_that_are_not_finite_are_no_map(case: Case):
    network = classifier()
    network.layers["head"].bias[2] = np.nan
    with pytest.raises(camscope.ModelError, match="NaN or infinity"):
        case.explainer(network)(case.tensor(X), methods="eigencam")


def test_a_target_that_does_not_exist_is_refused(case: Case):
    with pytest.raises(camscope.TargetError, match="5"):
        case.explainer(classifier())(case.tensor(X), targets=5)


def test_an_object_of_no_framework_is_refused_naming_those_there_are():
    with pytest.raises(
        camscope.ModelError, match=r"Cannot explain a object: expected a model of NumPy, (.*, )?PyTorch"
    ):
        camscope.Explainer(object())


def test_a_device_that_there_is_not_is_refused(case: Case):
    model = case.build(classifier())
    assert doorway_of(model).owns(doorway_of(model).move(model, "cpu"))
    with pytest.raises(camscope.ModelError, match="'moon'"):
        doorway_of(model).move(model, "moon")


# ------------------------------------------------------------------ the model


def test_the_model_is_left_as_it_came(case: Case):
    """Whatever is run on it, and when a method fails half-way."""
    model = case.build(classifier())
    before = case.state(model)
    explainer = camscope.Explainer(
        model, preprocessing=camscope.Preprocessing(input_size=(16, 16)), space=case.space
    )
    offers = case.offers - ATTENDED
    able = [m.name for m in list_methods() if m.needs_from(offers) <= offers and m.name not in SLOW]
    with warnings.catch_warnings(action="ignore", category=camscope.CamscopeWarning):
        explainer(case.tensor(X[:1]), methods=[*able, "rise(n=8)"], targets=[0, 3])
    explainer.layers(case.tensor(X))
    assert case.state(model) == before

    def fails(raw):
        raise ZeroDivisionError

    with pytest.raises(camscope.TargetError, match="ZeroDivisionError"):
        explainer(case.tensor(X), targets=fails)
    assert case.state(model) == before


def test_the_state_that_is_compared_shows_a_change(case: Case):
    """A test of the test above."""
    model = case.build(classifier())
    before = case.state(model)
    case.disturb(model)
    assert case.state(model) != before


def test_it_says_what_it_is(case: Case):
    adapter = case.adapter(classifier())
    facts = adapter.describe()
    assert {"model", "framework", "device", "dtype", "weights_sha256"} <= facts.keys()
    assert facts["dtype"] == "float32"
    assert case.adapter(classifier()).describe() == facts
    assert case.adapter(classifier(seed=1)).describe()["weights_sha256"] != facts["weights_sha256"]
    assert case.adapter(classifier().as_type(np.float64)).describe()["dtype"] == "float64"
