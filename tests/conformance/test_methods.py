"""Every method that an adapter's offers allow runs on it, and is the same map as on the same network in torch."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

import camscope
from camscope.arrays import to_numpy
from camscope.composition import list_methods
from camscope.evidence import ATTENDED, Need
from camscope.images import Preprocessing
from tests.conformance.cases import CASES, Case
from tests.conformance.networks import classifier, hidden_head, random_batch

TORCH = CASES[0]
OTHERS = CASES[1:]
OTHERS_WITH_GRADIENTS = [case for case in OTHERS if Need.GRADIENTS in case.offers]
X = random_batch(2)
TARGETS = [1, -camscope.Class(3), camscope.Class(0, of="probability")]
FEWER = {
    "rise": "rise(n=70)",
    "sscam": "smooth(scorecam-paper, n=2)",
    "iscam": "path(scorecam-paper, baseline=zero, n=2)",
    "opticam": "opticam(steps=5)",
    "smoothgradcam++": "smooth(gradcam++, n=3, average=gradients)",
}
"""Methods that would run long, with fewer runs: what they are made of."""
PREPARED = Preprocessing(input_size=(16, 16), mean=(0.5,) * 3, std=(0.25,) * 3)

MEASURED = {"zoomcam"}
"""Methods that look at layers without a linear head behind them, where derivatives are differences with an error."""

ALTERED = [
    "smooth(scorecam, n=3)",
    "smooth(rise(n=20), n=2)",
    "augment(ablationcam)",
    "augment(cam, transforms=[rot90, flipud*0.9])",
    "path(cam, n=3)",
    "path(eigencam, baseline=zero, n=3)",
    "path(reciprocam, baseline=blur, n=2)",
    "augment(smooth(cam, n=2))",
]
"""Compositions that run altered copies of the input."""
COMBINED = [
    "fuse(ablationcam, max)",
    "fuse(pcam+, cascade)",
    "fuse(scorecam, product)",
    "fuse(reciprocam, mean)",
    "smooth(fuse(ablationcam), n=2)",
    "finer(cam)",
    "finer(ablationcam, weighting=softmax)",
    "rest(ablationcam)",
    "fuse(rest(finer(ablationcam)))",
]
"""Compositions of several layers' maps, and of other targets."""


def gradient_free() -> list[str]:
    """All methods and named compositions that need no gradient: at most derivatives along directions."""
    needs = frozenset({Need.ACTIVATIONS, Need.LINEAR_HEAD, Need.DIRECTIONS, Need.SUFFIX, Need.MASKED})
    return [FEWER.get(m.name, m.name) for m in list_methods() if m.needs_from(needs) <= needs]


def by_gradients() -> list[str]:
    """All methods and named compositions that need gradients by a layer or by altered inputs, and nothing more."""
    needs = {Need.ACTIVATIONS, Need.LINEAR_HEAD, Need.SUFFIX, Need.MASKED}
    more = needs | {Need.GRADIENTS, Need.MASKED_GRADIENTS}
    able = [m for m in list_methods() if m.needs <= more and not m.needs <= needs]
    return [FEWER.get(m.name, m.name) for m in able]


@functools.cache
def explainer_of(case: Case, hidden: bool) -> camscope.Explainer:
    """What it found out of a network serves all methods."""
    return case.explainer((hidden_head if hidden else classifier)(), preprocessing=PREPARED)


@functools.cache
def torch_maps(method: str, hidden: bool = False) -> dict:
    return maps(TORCH, method, hidden)


def maps(case: Case, method: str, hidden: bool = False) -> dict:
    # Opti-CAM's Adam follows the sign of a gradient, which rounding makes where a probability is near 1
    logits_only = method.startswith(("liftcam", "finer", "rest", "fuse(rest", "opticam"))
    with warnings.catch_warnings(action="ignore", category=camscope.CamscopeWarning):
        e = explainer_of(case, hidden)(
            case.tensor(X), methods=method, targets=TARGETS[:2] if logits_only else TARGETS, seed=3
        )
    return {key: to_numpy(value) for key, value in e.raw.items()}


STEPS_ON_ROUNDING = {"opticam(steps=3)": 5e-2, "opticam(steps=5)": 5e-2}
"""What Adam makes of gradients that are rounding alone: it divides by their size. Each gradient by itself is equal."""


def same(found: dict, expected: dict, tolerance: float = 1e-5) -> None:
    """The same maps at the same layers, to a share of the largest value of each."""
    assert found.keys() == expected.keys()
    for key, one in expected.items():
        assert found[key].shape == one.shape
        assert np.abs(one).max() > 0, "nothing to compare"
        assert np.abs(found[key] - one).max() <= tolerance * max(1, np.abs(one).max()), key


def test_there_are_this_many_methods_without_gradients():
    """As many as a framework without gradients has; a method that is added counts itself in here."""
    assert len(gradient_free()) == 31


@pytest.mark.parametrize("case", OTHERS, ids=str, indirect=True)
@pytest.mark.parametrize("method", [*(m for m in gradient_free() if m not in MEASURED), *ALTERED, *COMBINED])
def test_a_method_gives_the_map_that_torch_gives(case: Case, method: str):
    same(maps(case, method), torch_maps(method), STEPS_ON_ROUNDING.get(method, 1e-5))


@pytest.mark.parametrize("case", OTHERS, ids=str, indirect=True)
@pytest.mark.parametrize(
    "method", ["ablationcam", "reciprocam-gaussian", "scorecam", "polycam", "finer(ablationcam)"]
)
def test_behind_a_head_that_is_not_linear_too(case: Case, method: str):
    same(maps(case, method, hidden=True), torch_maps(method, hidden=True))


@pytest.mark.parametrize("case", OTHERS_WITH_GRADIENTS, ids=str, indirect=True)
@pytest.mark.parametrize("method", by_gradients())
def test_a_method_of_gradients_gives_the_map_that_torch_gives(case: Case, method: str):
    same(maps(case, method), torch_maps(method), STEPS_ON_ROUNDING.get(method, 1e-5))


@pytest.mark.parametrize("case", OTHERS_WITH_GRADIENTS, ids=str, indirect=True)
@pytest.mark.parametrize("method", ["gradcam", "hirescam", "gradcam++", "opticam(steps=3)"])
def test_gradients_behind_a_head_that_is_not_linear_are_torchs(case: Case, method: str):
    tolerance = STEPS_ON_ROUNDING.get(method, 1e-5)
    same(maps(case, method, hidden=True), torch_maps(method, hidden=True), tolerance)


@pytest.mark.parametrize("case", OTHERS, ids=str, indirect=True)
def test_every_method_the_framework_offers_is_compared(case: Case):
    """One with gradients by all inputs and biases, too, takes this on for the rest of the methods."""
    offers = case.offers - ATTENDED
    offered = {FEWER.get(m.name, m.name) for m in list_methods() if m.needs_from(offers) <= offers}
    assert offered == {*gradient_free(), *(by_gradients() if Need.GRADIENTS in offers else ())}


@pytest.mark.parametrize("hidden", [False, True], ids=["linear head", "hidden layer"])
def test_what_is_offered_is_what_runs(case: Case, hidden: bool):
    """What methods need is tried, and no map is made: so it is held against what the calls do."""
    explainer = explainer_of(case, hidden)
    offers = explainer.methods(case.tensor(X))
    assert [offer.name for offer in offers] == [m.name for m in list_methods()]
    able = case.offers - ATTENDED  # the network has no attention
    expected = {m.name for m in list_methods() if m.needs_from(able) <= able} - (
        {"cam", "liftcam"} if hidden else set()
    )
    assert {offer.name for offer in offers if offer} == expected
    for offer in offers:
        if not offer:
            with pytest.raises(camscope.CamscopeError, match=r"would work|Use |work here|not a transformer"):
                explainer(case.tensor(X), methods=offer.name)


def test_a_batch_is_its_images_one_by_one(case: Case):
    explainer = explainer_of(case, hidden=False)
    methods = ["cam", "ablationcam", "reciprocam", "scorecam", "eigencam", "rise(n=20)", "smooth(cam, n=2)"]
    together = explainer(case.tensor(X), methods=methods, targets=[0, 4])
    for image in range(len(X)):
        alone = explainer(case.tensor(X[image : image + 1]), methods=methods, targets=[0, 4])
        same(
            {k: to_numpy(v) for k, v in together[image].raw.items()},
            {k: to_numpy(v) for k, v in alone.raw.items()},
        )


def test_methods_together_are_each_by_itself(case: Case):
    """They share passes: several layers, targets and methods in one call."""
    explainer, layers = explainer_of(case, hidden=False), ["body_relu", "last_relu"]
    methods = ["ablationcam", "reciprocam", "scorecam", "pcam", "eigencam"]
    together = explainer(case.tensor(X), methods=methods, targets=[0, 4], layers=layers)
    assert len(together.raw) == len(methods) * len(layers)
    for method in methods:
        for layer in layers:
            alone = explainer(case.tensor(X), methods=method, targets=[0, 4], layers=layer)
            same(
                {(method, layer): to_numpy(together.raw[method, layer])},
                {k: to_numpy(v) for k, v in alone.raw.items()},
            )


def test_what_a_call_says_of_itself(case: Case):
    """Scores, logits, and what a reader is told, do not depend on the framework."""
    explainer = case.explainer(classifier(), class_names=["ant", "bee", "cat", "dog", "eel"])
    e = explainer(case.tensor(X), methods=["ablationcam", "liftcam"], targets=["bee", "not:dog"])
    expected = TORCH.explainer(classifier(), class_names=["ant", "bee", "cat", "dog", "eel"])(
        TORCH.tensor(X), methods=["ablationcam", "liftcam"], targets=["bee", "not:dog"]
    )
    np.testing.assert_allclose(to_numpy(e.scores), to_numpy(expected.scores), rtol=1e-5)
    assert e.targets == expected.targets
    assert e.notes == expected.notes
    assert any("ablationcam, liftcam are the same map" in note for note in e.notes)
    assert e.status == expected.status
    own = ("model", "framework", "device", "dtype", "weights_sha256", "opset")
    here, there = ({k: v for k, v in one.provenance.items() if k not in own} for one in (e, expected))
    here["layers"]["layers"] = there["layers"]["layers"] = None  # what a layer's class is called
    assert here == there
