"""The same network is judged alike in every framework: its probes, its numbers, its verdicts."""

import numpy as np
import pytest
import torch

import camscope
from tests.same_networks import in_keras, in_nnx, in_onnx, in_torch
from tests.same_networks.described import NETWORKS

METHODS = ["mean-activation", "centre", "eigencam"]


def judged(explainer, x, layer):
    return explainer.trust(x, methods=METHODS, layers=layer, targets=[0, 1], probes=64, progress=False)


@pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")
def test_what_is_said_is_what_is_said_of_pytorch():
    network = next(iter(NETWORKS.values()))()
    x = network.x[:1]
    explainer = camscope.Explainer(in_torch.built(network))
    _, chosen = explainer.layers(torch.from_numpy(x))
    expected = judged(explainer, torch.from_numpy(x), chosen.name)
    ((key, asked),) = expected.probes.items()
    assert np.ptp(asked.drops) > 0.01
    for build, given in (
        (in_keras.built, np.moveaxis(x, 1, -1)),
        (in_nnx.built, np.moveaxis(x, 1, -1)),
        (in_onnx.built, x),
    ):
        found = judged(camscope.Explainer(build(network)), given, chosen.name)
        assert list(found.probes) == [key]
        np.testing.assert_array_equal(found.probes[key].removed, asked.removed)
        np.testing.assert_allclose(found.probes[key].drops, asked.drops, atol=2e-5)
        np.testing.assert_array_equal(found.probes[key].top, asked.top)
        for row, same in zip(found.rows, expected.rows, strict=True):
            assert (row.method, row.verdict, row.why) == (same.method, same.verdict, same.why)
            assert row.fidelity.value == pytest.approx(same.fidelity.value, abs=0.02, nan_ok=True)
