"""The same network with the same weights gives the same maps in every framework, by every method they share."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import camscope
from camscope.arrays import to_numpy
from camscope.composition import list_methods
from tests.jax_compiling import compiled_once
from tests.same_networks import in_keras, in_nnx, in_onnx, in_torch
from tests.same_networks.described import NETWORKS, Described

TARGETS = [1, -camscope.Class(2)]
FEWER = {
    "rise": "rise(n=20)",
    "sscam": "smooth(scorecam-paper, n=2)",
    "iscam": "path(scorecam-paper, baseline=zero, n=2)",
    "smoothgradcam++": "smooth(gradcam++, n=2, average=gradients)",
    "opticam": "opticam(steps=2)",
}
"""Methods that would run long, with fewer runs."""


@dataclass(frozen=True)
class Framework:
    """One framework's column of the table.

    Attributes:
        name: for test ids.
        build: the network, as a model of the framework.
        channels_last: whether its input is `batch *space channel`.
    """

    name: str
    build: Callable[[Described], Any]
    channels_last: bool = False

    def __str__(self) -> str:
        return self.name

    def given(self, x: np.ndarray) -> np.ndarray:
        """An input, as the model takes it."""
        return np.moveaxis(x, 1, -1) if self.channels_last else x


TORCH = Framework("torch", in_torch.built)
OTHERS = [
    Framework("nnx", in_nnx.built, channels_last=True),
    Framework("keras", in_keras.built, channels_last=True),
    Framework("onnx", in_onnx.built),
]


@pytest.fixture(scope="module", autouse=True)
def jax_compiles_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with compiled_once(tmp_path_factory.mktemp("compiled")):
        yield


@functools.cache
def explainer(framework: Framework, kind: str) -> camscope.Explainer:
    return camscope.Explainer(framework.build(NETWORKS[kind]()))


def explained(framework: Framework, kind: str, methods: list[str]) -> camscope.Explanation:
    network, x = NETWORKS[kind](), NETWORKS[kind]().x
    if framework is TORCH:
        import torch

        given: Any = torch.from_numpy(x)
    else:
        given = framework.given(x)
    with warnings.catch_warnings(action="ignore", category=camscope.CamscopeWarning):
        return explainer(framework, kind)(
            given, methods=methods, targets=TARGETS, layers=network.layer, seed=3
        )


def shared(framework: Framework, kind: str) -> list[str]:
    """The methods that both PyTorch and this framework offer."""
    offers = [explainer(one, kind)._model.adapter.offers for one in (TORCH, framework)]
    return [FEWER.get(m.name, m.name) for m in list_methods() if all(m.needs <= some for some in offers)]


@functools.cache
def by_torch(kind: str, method: str) -> dict[Any, np.ndarray] | type[Exception]:
    """PyTorch's maps, or the error by which it refuses the method on this network."""
    try:
        e = explained(TORCH, kind, [method])
    except camscope.CamscopeError as error:
        return type(error)
    return {key: to_numpy(value) for key, value in e.raw.items()}


@pytest.mark.parametrize("framework", OTHERS, ids=str)
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_scores_are_the_same(framework: Framework, kind: str):
    mine, theirs = (explained(one, kind, ["eigencam"]) for one in (framework, TORCH))
    np.testing.assert_allclose(to_numpy(mine.logits), to_numpy(theirs.logits), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("framework", OTHERS, ids=str)
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_maps_are_the_same(framework: Framework, kind: str):
    """By every method that both offer and PyTorch does not refuse here; to 1e-5 of the largest value of each map."""
    able = [method for method in shared(framework, kind) if isinstance(by_torch(kind, method), dict)]
    assert len(able) > 15
    found = {key: to_numpy(value) for key, value in explained(framework, kind, able).raw.items()}
    expected = {key: value for method in able for key, value in by_torch(kind, method).items()}
    assert found.keys() == expected.keys()
    empty = [key for key, value in expected.items() if not value.any()]
    assert len(empty) <= 2, "too little to compare"
    off = {key: _off(found[key], expected[key]) for key in expected}
    assert {key: share for key, share in off.items() if share > 1e-5} == {}


@pytest.mark.parametrize("framework", OTHERS, ids=str)
@pytest.mark.parametrize("kind", NETWORKS)
def test_what_one_refuses_the_other_refuses(framework: Framework, kind: str):
    for method in shared(framework, kind):
        refusal = by_torch(kind, method)
        if isinstance(refusal, type):
            with pytest.raises(refusal):
                explained(framework, kind, [method])


def _off(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    largest = float(np.abs(expected).max()) or 1.0
    return float(np.abs(found - expected).max()) / largest
