"""Whom the suite is run on. An adapter is held to it by one more `Case`.

It is built from `tests.conformance.networks.Network`s, small NumPy descriptions of networks with their weights. A
framework says how it builds one of them (layer names, in order, are to stay the same), how a NumPy array becomes a
tensor of its own, and how to look at a model so that a change shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import camscope
from camscope.arrays import to_numpy
from camscope.evidence import Evidence, ModelEvidence, Need
from camscope.models.adapter import Adapter
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.models.registry import doorway_of
from camscope.outputs import Task
from camscope.targets import TargetsLike, resolve
from tests.conformance import equinox_twin, keras_twin, linen_twin, nnx_twin, onnx_twin, torch_twin
from tests.conformance.networks import Network


@dataclass(frozen=True)
class Case:
    """One framework.

    Attributes:
        name: for test ids.
        build: the network, as a model of the framework.
        tensor: a NumPy array, as an input of the model that is preprocessed already.
        state: of a model, comparable: all that an explanation must leave as it was.
        disturb: changes a parameter of a model, so that a test can see that its state shows it.
        offers: the needs that its adapter can meet.
        double_precision: whether it runs networks in it.
        space: the axes of space of the inputs here, where the framework's convention is another one.
    """

    name: str
    build: Callable[[Network], Any]
    tensor: Callable[[np.ndarray], Any]
    state: Callable[[Any], Any]
    disturb: Callable[[Any], None]
    offers: frozenset[Need]
    double_precision: bool = True
    space: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return self.name

    def explainer(self, network: Network, **options: Any) -> camscope.Explainer:
        """What a user makes."""
        return camscope.Explainer(self.build(network), space=self.space, **options)

    def adapter(self, network: Network, task: Task | None = None) -> Adapter:
        """What the engine is given."""
        model = self.build(network)
        doorway = doorway_of(model)
        return doorway.adapt(doorway.unwrap(model), LogitsDecoder(None, task), task=task, optimised=False)

    def given(self, adapter: Adapter, x: np.ndarray) -> Batch:
        """A batch, as the engine gives it to the adapter's passes."""
        return adapter.batch(Batch((self.tensor(x),)))


BY_RUNS = frozenset({Need.ACTIVATIONS, Need.LINEAR_HEAD, Need.SUFFIX, Need.MASKED})
BY_RUNS_AND_GRADIENTS = BY_RUNS | {Need.GRADIENTS, Need.MASKED_GRADIENTS}
"""What every runtime offers, and one that differentiates; written out here, so that an adapter is held to it."""

CASES = (
    Case(
        "torch",
        torch_twin.built,
        torch.from_numpy,
        torch_twin.state,
        torch_twin.disturb,
        frozenset(Need) - {Need.DIRECTIONS},
    ),
    Case(
        "numpy",
        lambda network: network,
        lambda x: x,
        lambda network: (
            {name: value.tobytes() for name, value in network.arrays().items()},
            {name: (type(op), id(op)) for name, op in network.layers.items()},
            sorted(vars(network)),
        ),
        lambda network: network.layers["head"].bias.__iadd__(1),
        BY_RUNS | {Need.DIRECTIONS},
    ),
    Case(
        "onnx",
        onnx_twin.built,
        lambda x: x,
        onnx_twin.state,
        onnx_twin.disturb,
        BY_RUNS | {Need.DIRECTIONS},
        double_precision=False,
    ),
    Case(
        "nnx",
        nnx_twin.built,
        lambda x: x,
        nnx_twin.state,
        nnx_twin.disturb,
        BY_RUNS_AND_GRADIENTS,
        space=(2, 3),
    ),
    Case(
        "linen",
        linen_twin.built,
        lambda x: x,
        linen_twin.state,
        linen_twin.disturb,
        BY_RUNS_AND_GRADIENTS,
        space=(2, 3),
    ),
    Case(
        "equinox",
        equinox_twin.built,
        lambda x: x,
        equinox_twin.state,
        equinox_twin.disturb,
        BY_RUNS_AND_GRADIENTS,
    ),
    Case(
        "keras",
        keras_twin.built,
        lambda x: x,
        keras_twin.state,
        keras_twin.disturb,
        BY_RUNS_AND_GRADIENTS,
    ),
)

WITH_GRADIENTS = [case for case in CASES if Need.GRADIENTS in case.offers]
WITHOUT_GRADIENTS = [case for case in CASES if Need.GRADIENTS not in case.offers]


@contextmanager
def evidence(
    adapter: Adapter, batch: Batch, needs: Mapping[str, Collection[Need]], targets: TargetsLike = None
) -> Iterator[dict[str, Evidence]]:
    """Evidence by layer, of all targets together; re-runs in it are good inside the block."""
    by_layer = {adapter.layer(batch, name): frozenset(some) for name, some in needs.items()}
    with adapter.observe(batch, by_layer) as seen:
        resolved = resolve(targets, seen.outputs)
        found: dict[str, Evidence] = {}
        for layer, columns, here in seen.evidence(resolved, by_layer, 0):
            assert columns == slice(0, len(resolved)), "so few targets come in one piece"
            found[layer] = here
        assert list(found) == [layer.name for layer in by_layer]
        yield found


@contextmanager
def model_evidence(
    adapter: Adapter, batch: Batch, needs: Collection[Need], targets: TargetsLike = None
) -> Iterator[ModelEvidence]:
    """Evidence of the model as a whole, of all targets together; re-runs in it are good inside the block."""
    with adapter.observe(batch, {}) as seen:
        ((_, found),) = seen.model_evidence(resolve(targets, seen.outputs), frozenset(needs), 0)
        yield found


def close(found: Any, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    """Equal to a share of the largest value."""
    array = to_numpy(found)
    assert array.shape == expected.shape
    assert np.abs(array - expected).max() <= tolerance * max(1e-3, np.abs(expected).max())
