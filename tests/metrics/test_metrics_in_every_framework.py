"""The same network with the same weights gives the same numbers in every framework."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import camscope
from camscope import metrics
from tests.same_networks import in_keras, in_nnx, in_onnx, in_torch
from tests.same_networks.described import NETWORKS

KIND = next(iter(NETWORKS))


def numbers(explainer: camscope.Explainer, x: object, size: tuple[int, ...]) -> np.ndarray:
    maps = np.random.default_rng(0).standard_normal((size[0], 2, *size[2:]))[:, :, ::2, ::2]
    found = [
        metrics.srg(explainer, x, maps, targets=[0, 1]),
        metrics.road_morf(explainer, x, maps, targets=[0, 1], shares=(0.3, 0.8)),
        metrics.insertion(explainer, x, maps, targets=[0, 1], steps=5),
        metrics.deletion(explainer, x, maps, targets=[0, 1], steps=5, imputer=metrics.Noise()),
        metrics.average_drop(explainer, x, maps, targets=[0, 1]),
    ]
    return np.stack([one["map"] for one in found])


@pytest.mark.filterwarnings("ignore::camscope.CamscopeWarning")
def test_numbers_are_those_of_pytorch():
    network = NETWORKS[KIND]()
    x = network.x
    expected = numbers(camscope.Explainer(in_torch.built(network)), torch.from_numpy(x), x.shape)
    assert np.ptp(expected) > 0.1
    for build, given in (
        (in_keras.built, np.moveaxis(x, 1, -1)),
        (in_nnx.built, np.moveaxis(x, 1, -1)),
        (in_onnx.built, x),
    ):
        np.testing.assert_allclose(
            numbers(camscope.Explainer(build(network)), given, x.shape), expected, atol=2e-5
        )
