"""Derivatives along directions, measured by re-runs, against the gradients of the same network in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import camscope
from camscope import Class
from camscope.arrays import to_numpy
from camscope.evidence import Evidence, Need
from camscope.methods import get_method
from camscope.results.status import Status
from camscope.targets import Contrast
from tests.conformance.cases import CASES, WITHOUT_GRADIENTS, Case, evidence
from tests.conformance.networks import (
    Network,
    Relu,
    classifier,
    cut_off,
    flattened,
    hidden_head,
    random_batch,
    segmenter,
)

TORCH = CASES[0]
X = random_batch(2)
METHODS = ["gradcam", "xgradcam", "hirescam"]
TARGETS = [1, -Class(3), Class(0, of="probability"), Contrast(2, against=[1, 4])]
INNER = [
    (classifier, "body_relu"),
    (classifier, "body"),
    (classifier, "stem_relu"),
    (hidden_head, "last_relu"),
]

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
