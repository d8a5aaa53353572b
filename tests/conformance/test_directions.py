"""Derivatives along directions, measured by re-runs, against the gradients of the same network in PyTorch."""

from __future__ import annotations

import re

import numpy as np
import pytest

import camscope
from camscope import Class
from camscope.arrays import to_numpy
from camscope.evidence import Evidence, Need
from camscope.models.runtime import differences
from camscope.models.runtime.differences import Differences
from camscope.results.status import Status
from camscope.targets import Contrast, Region
from tests.conformance.cases import CASES, WITHOUT_GRADIENTS, Case, evidence
from tests.conformance.networks import (
    Network,
    Relu,
    Rounded,
    classifier,
    hidden_head,
    random_batch,
    segmenter,
)

TORCH = CASES[0]
X = random_batch(2)
METHODS = ["gradcam", "xgradcam", "hirescam"]
TARGETS = [1, -Class(3), Class(0, of="probability"), Contrast(2, against=[1, 4])]
INNER = [(classifier, "body_relu"), (classifier, "body"), (hidden_head, "last_relu")]


pytestmark = pytest.mark.parametrize("case", WITHOUT_GRADIENTS, ids=str, indirect=True)


def seen(
    case: Case, network: Network, layer: str, need: Need, targets=TARGETS, x: np.ndarray = X
) -> Evidence:
    """Evidence for the inputs, in the network's precision."""
    adapter = case.adapter(network)
    with evidence(adapter, case.given(adapter, x), {layer: {need}}, targets) as found:
        here = found[layer]
        if here.directions is not None:  # measured while the model can be run
            here.directions.means(), here.directions.along_activations(), here.directions.at_positions()
    return here


def exact(network: Network, layer: str, targets=TARGETS, x: np.ndarray = X) -> dict[str, np.ndarray]:
    """The same by autograd, in double precision."""
    network = network.as_type(np.float64)
    here = seen(TORCH, network, layer, Need.GRADIENTS, targets, x.astype(np.float64))
    A = to_numpy(here.activations)[:, None]
    g = np.broadcast_to(to_numpy(here.gradients), (len(x), len(targets), *A.shape[2:]))
    return {"means": g.mean((3, 4)), "along": (g * A).sum((3, 4)), "at": (g * A).sum(2)}


def measured(here: Evidence) -> dict[str, np.ndarray]:
    d = here.directions
    return {"means": d.means(), "along": d.along_activations(), "at": d.at_positions()}


def off(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The error of each image and target, as a share of the size."""
    found, expected = (v.reshape(*v.shape[:2], -1).astype(np.float64) for v in (found, expected))
    return np.linalg.norm(found - expected, axis=2) / np.linalg.norm(expected, axis=2)


@pytest.mark.parametrize(("build", "layer"), INNER)
@pytest.mark.parametrize("method", METHODS)
def test_maps_at_inner_layers_are_those_of_gradients(case: Case, build, layer: str, method: str):
    found = case.explainer(build())(case.tensor(X), methods=method, targets=TARGETS, layers=layer)
    expected = TORCH.explainer(build())(TORCH.tensor(X), methods=method, targets=TARGETS, layers=layer)
    found, expected = (to_numpy(e.raw[method, layer]).reshape(8, -1) for e in (found, expected))
    for one, other in zip(found, expected, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.999
        assert np.linalg.norm(one - other) < 0.05 * np.linalg.norm(other)


def test_the_error_it_tells_is_the_error_it_makes(case: Case):
    """Over a dozen random networks at two layers: on the average, and never far too small."""
    told, true = [], []
    for seed in range(12):
        for layer in ("stem_relu", "body_relu"):
            here, expected = (
                seen(case, classifier(seed=seed), layer, Need.DIRECTIONS),
                exact(classifier(seed=seed), layer),
            )
            for (kind, found), how in zip(measured(here).items(), here.directions.measured, strict=True):
                told.append(how.errors)
                true.append(off(found, expected[kind]))
    told, true = np.array(told), np.array(true)
    assert true.max() < 0.1
    assert np.median(true) < 0.002
    assert 0.8 < told.mean() / true.mean() < 2
    assert (told > 0.2 * true).all()
    assert np.quantile(told / true, 0.05) > 0.5


@pytest.mark.parametrize(("build", "layer"), INNER)
def test_in_double_precision_next_to_nothing_is_lost(case: Case, build, layer: str):
    if not case.double_precision:
        pytest.skip("it has no convolutions in double precision")
    x = X.astype(np.float64)
    here = seen(case, build().as_type(np.float64), layer, Need.DIRECTIONS, x=x)
    expected = exact(build(), layer)
    for (kind, found), how in zip(measured(here).items(), here.directions.measured, strict=True):
        assert found.dtype == np.float64
        assert off(found, expected[kind]).max() < 1e-5
        assert how.errors.max() < 1e-4


@pytest.mark.parametrize("layer", ["last", "last_relu"])
def test_behind_a_linear_head_they_are_exact_and_nothing_runs_again(case: Case, layer: str):
    """Also where the ReLU between the layer and the pooling is asleep at some positions."""
    here = seen(case, classifier(), layer, Need.DIRECTIONS)
    for kind, found in measured(here).items():
        assert off(found, exact(classifier(), layer)[kind]).max() < 1e-5
    assert here.directions.measured == ()
    e = case.explainer(classifier())(case.tensor(X), methods=METHODS, layers=layer)
    assert not [note for note in e.notes if "central differences" in note]


def test_scores_of_every_position_too(case: Case):
    """A segmenter's mean score, and that of a region."""
    mask = np.zeros((16, 16), dtype=bool)
    mask[:7, 5:] = True
    targets = [1, Region(2, mask)]
    here = seen(case, segmenter(), "body_relu", Need.DIRECTIONS, targets)
    for kind, found in measured(here).items():
        assert off(found, exact(segmenter(), "body_relu", targets)[kind]).max() < 0.02


def test_the_strongest_channels_are_those_of_gradients(case: Case):
    given = {"methods": "hirescam", "targets": [1, 3], "layers": "body_relu", "channels": 3}
    found, expected = (one.explainer(classifier())(one.tensor(X), **given) for one in (case, TORCH))
    for name in ("weights", "contributions"):
        mine, theirs = (to_numpy(getattr(e.channels["body_relu"], name)) for e in (found, expected))
        np.testing.assert_allclose(mine, theirs, rtol=0.05)
    mine, theirs = (to_numpy(e.channels["body_relu"].index) for e in (found, expected))
    assert np.array_equal(mine, theirs)


# ------------------------------------------------------------------ what is said of them


def test_a_reader_is_told_how_they_were_measured(case: Case):
    e = case.explainer(classifier())(case.tensor(X), methods=METHODS, layers=["body_relu", "last_relu"])
    said = [note for note in e.notes if "central differences" in note]
    assert [re.search(r"central differences of (\d+) re-runs", note)[1] for note in said] == [
        "16",
        "16",
        "128",
    ]
    assert all(
        note.startswith("gradcam, xgradcam, hirescam at body_relu: the model gives no") for note in said
    )
    for note in said:
        error = float(re.search(r"error is up to about ([\d.e-]+) %", note)[1])
        assert 0.001 < error < 10


def test_altered_copies_say_it_once_with_the_largest_error(case: Case):
    explainer = case.explainer(classifier())
    notes = explainer(case.tensor(X), methods="smooth(gradcam, n=3)", layers="body_relu", targets=1).notes
    assert sum("central differences" in note for note in notes) == 1


def rounded(step: float) -> Network:
    layers: dict = {}
    for name, op in classifier().layers.items():
        layers |= {name: op, **({"rounded": Rounded(step)} if name == "body_relu" else {})}
    return Network(layers)


def test_derivatives_that_are_mostly_error_are_refused(case: Case):
    explainer = case.explainer(rounded(0.5))
    with pytest.raises(
        camscope.ModelError, match=r"At 'body' the channels' mean gradients cannot be measured.*ablationcam"
    ):
        explainer(case.tensor(X), methods="gradcam", layers="body")


def test_coarse_ones_are_a_warning(case: Case):
    with pytest.warns(camscope.CamscopeWarning, match="central differences"):
        case.explainer(rounded(6e-4))(case.tensor(X), methods="gradcam", targets=1, layers="body")


def test_a_score_that_does_not_depend_on_the_layer_is_no_gradient(case: Case):
    network = hidden_head()
    network.layers["head"].weight[2] = 0
    e = case.explainer(network)(case.tensor(X), methods=METHODS, targets=[1, 2], layers="last_relu")
    for method in METHODS:
        assert [row[1] for row in e.status[method, "last_relu"]] == [Status.NO_GRADIENT] * 2
        assert Status.NO_GRADIENT not in [row[0] for row in e.status[method, "last_relu"]]
    assert not [note for note in e.notes if "nan" in note]


def test_a_class_that_the_model_masks_out_does_no_harm(case: Case):
    """Its logit is −∞ for whatever activations."""
    w = np.array([[1.0, -2.0, 3.0], [0.5, 0.5, 0.5]])

    def answers(rows: np.ndarray) -> np.ndarray:
        z = rows.mean((2, 3)) @ w.T
        return np.concatenate([z, np.full((len(z), 1), -np.inf)], axis=1)

    A = np.random.default_rng(0).standard_normal((1, 3, 2, 2))
    found = Differences(A, np.eye(3)[None, :2], lambda image: answers)
    np.testing.assert_allclose(found.means()[0], w / 4, rtol=1e-6)
    assert found.measured[0].errors.max() < 1e-6


def test_a_relu_that_rests_at_zero_is_asleep_as_in_autograd(case: Case):
    """Half of the activations are exactly zero, and a second ReLU reads them as they are."""
    layers: dict = {}
    for name, op in classifier().layers.items():
        layers |= {name: op, **({"again_relu": Relu()} if name == "body_relu" else {})}
    network = Network(layers)
    here, expected = seen(case, network, "body_relu", Need.DIRECTIONS), exact(network, "body_relu")
    for (kind, found), how in zip(measured(here).items(), here.directions.measured, strict=True):
        assert off(found, expected[kind]).max() < 0.05
        assert how.errors.max() < 0.1
        assert (how.kinks > 0) == (kind == "means")
    notes = case.explainer(network)(case.tensor(X), methods="gradcam", layers="body_relu").notes
    assert any("rests exactly at zero" in note for note in notes)


def test_what_would_take_very_long_is_refused_with_its_price(case: Case, monkeypatch):
    monkeypatch.setattr(differences, "_MOST_RERUNS", 100)
    explainer = case.explainer(classifier())
    words = r"would take 128 re-runs .*\(8 channels, 8×8 positions\).*more than 100 .*gradcam and xgradcam take 16"
    with pytest.raises(camscope.ModelError, match=words):
        explainer(case.tensor(X), methods="hirescam", layers="body_relu")
    explainer(case.tensor(X), methods="gradcam", layers="body_relu")
