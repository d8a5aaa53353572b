"""Where a linear head tells the gradients, no graph is made for them; where it no longer does, they are pulled back."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

import camscope
from camscope.arrays import to_numpy
from camscope.evidence import Need
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.models.runtime import PullBack, Run, RuntimeAdapter
from tests.conformance import reference
from tests.conformance.cases import WITH_GRADIENTS, Case, close, evidence
from tests.conformance.networks import Linear, Network, classifier, hidden_head, random_batch
from tests.conformance.numpy_runtime import NumpyRuntime

X = random_batch()
LAST = "last_relu"


@dataclass(frozen=True)
class ByDifferences(NumpyRuntime):
    """Differentiates by brute force, in double precision; keeps note of how often it ran the whole model."""

    differentiates = True
    ran: list[str] = field(default_factory=list)

    def run(self, batch: Batch, watched: Collection[str] | None = ()) -> Run:
        self.ran.append("run")
        return super().run(batch, watched)

    @contextmanager
    def differentiated(self, batch: Batch, layers: Collection[str]) -> Iterator[tuple[Run, PullBack]]:
        self.ran.append("differentiated")
        run = super().run(batch, layers)

        def pull_back(weights: np.ndarray) -> Mapping[str, np.ndarray]:
            return {
                layer: np.stack([of(layer, i, weights[i]) for i in range(len(batch))]) for layer in layers
            }

        def of(layer: str, image: int, weights: np.ndarray) -> np.ndarray:
            def score(activations: np.ndarray) -> np.ndarray:
                answers = self.model.outputs(batch.given[image : image + 1], layer, activations)
                return list(answers.values())[-1] @ weights

            return reference.derivative(score, run.values[layer][image])

        yield run, pull_back


class Curved(Linear):
    """A linear layer, and tanh of what it puts out."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(super().__call__(x))


@dataclass
class Looking:
    """A network that is looked at again and again."""

    network: Network
    layer: str = LAST

    def __post_init__(self) -> None:
        decoder = LogitsDecoder(None, None)
        self.runtime = ByDifferences(self.network, decoder)
        self.adapter = RuntimeAdapter(self.runtime, decoder)
        self.batch = self.adapter.batch(Batch((X.astype(np.float64),)))
        self.gradients()

    def gradients(self) -> tuple[np.ndarray, list[str]]:
        """Of class 2, and the runs of the whole model that they took."""
        with self._evidence() as found:
            here = found[self.layer]
            space = here.activations.shape[2:]
            gradients = np.broadcast_to(here.gradients, (*here.gradients.shape[:3], *space))[:, 0]
        return gradients, self._ran

    @contextmanager
    def _evidence(self):
        layer = self.adapter.layer(self.batch, self.layer)
        self.runtime.ran.clear()
        with evidence(self.adapter, self.batch, {layer.name: {Need.GRADIENTS}}, 2) as found:
            self._ran = list(self.runtime.ran)
            yield found

    def expected(self) -> np.ndarray:
        """By brute force."""
        outputs = self.network.outputs(X.astype(np.float64))

        def score(activations: np.ndarray) -> np.ndarray:
            return list(self.network.outputs(X[:1], self.layer, activations).values())[-1][:, 2]

        return np.stack([reference.derivative(score, A) for A in outputs[self.layer]])


def doubled(network: Network) -> Network:
    return network.as_type(np.float64)


def test_a_remembered_head_takes_one_plain_run():
    look = Looking(doubled(classifier()))
    gradients, ran = look.gradients()
    assert ran == ["run"]
    close(gradients, look.expected(), 1e-6)


def test_weights_that_changed_show_and_need_no_graph_either():
    look = Looking(doubled(classifier()))
    head = look.network.layers["head"]
    look.network.layers["head"] = dataclasses.replace(head, weight=head.weight[::-1] * 2)
    gradients, ran = look.gradients()
    assert ran == ["run"]
    close(gradients, look.expected(), 1e-6)


def test_a_head_that_is_none_any_more_is_pulled_back():
    look = Looking(doubled(classifier()))
    head = look.network.layers["head"]
    look.network.layers["head"] = Curved(head.weight / 4, head.bias)
    for runs in (
        ["run", "differentiated"],
        ["differentiated"],
    ):  # the first look finds out, the next one knows
        gradients, ran = look.gradients()
        assert ran == runs
        close(gradients, look.expected(), 1e-6)


@pytest.mark.parametrize("layer", ["last", "body_relu"])
def test_where_gradients_are_needed_no_run_is_wasted(layer: str):
    """Behind `last` the head pools the ReLU of the activations, whose weights are no gradients."""
    look = Looking(doubled(classifier()), layer)
    gradients, ran = look.gradients()
    assert ran == ["differentiated"]
    close(gradients, look.expected(), 1e-6)


def test_a_layer_without_a_head_beside_one_with_it():
    look = Looking(doubled(classifier()))
    needs = {layer: {Need.GRADIENTS} for layer in ("body_relu", LAST)}
    look.runtime.ran.clear()
    with evidence(look.adapter, look.batch, needs, 2):
        assert look.runtime.ran == ["differentiated"]


@pytest.mark.parametrize("case", WITH_GRADIENTS, ids=str)
@pytest.mark.parametrize("network", [classifier, hidden_head])
def test_the_second_look_gives_the_gradients_of_the_first(case: Case, network):
    adapter = case.adapter(network())
    batch, found = case.given(adapter, X), []
    for _ in range(2):
        with evidence(adapter, batch, {LAST: {Need.GRADIENTS}}, [0, 3]) as seen:
            shape = (len(X), 2, *seen[LAST].activations.shape[1:])
            found.append(np.broadcast_to(np.asarray(seen[LAST].gradients), shape))
    close(found[1], found[0], 1e-4)


@pytest.mark.parametrize("case", WITH_GRADIENTS, ids=str)
def test_a_model_that_was_changed_in_between_is_seen_as_it_is(case: Case):
    """The bias shifts every score by one, and no gradient."""
    model = case.build(classifier())
    explainer = camscope.Explainer(model, space=case.space)
    before = [explainer(case.tensor(X), methods="gradcam", targets=1) for _ in range(2)][1]
    case.disturb(model)
    after = explainer(case.tensor(X), methods="gradcam", targets=1)
    close(after.scores, to_numpy(before.scores) + 1, 1e-4)
    close(after.maps(), to_numpy(before.maps()), 1e-4)
