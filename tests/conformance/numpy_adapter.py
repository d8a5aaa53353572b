"""A complete adapter in plain NumPy, for `tests.conformance.networks.Network`: everything that needs no gradient."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from camscope.errors import InputError, LayerError, ModelError, nearest
from camscope.evidence import (
    Directions,
    Evidence,
    LinearHead,
    ModelEvidence,
    Need,
    Responses,
    SuffixRerun,
    Variants,
)
from camscope.models.adapter import LayerNeeds
from camscope.models.batch import Batch
from camscope.models.decoding import OutputDecoder
from camscope.models.grid import candidate_grids
from camscope.models.layer import Layer
from camscope.models.observing import Ending, OutputRules, responses, slices_of
from camscope.models.place import answer, find_grid, with_altered_copies
from camscope.models.runtime.differences import BehindHead, Differences
from camscope.models.said_grid import SaidGrid, grid_as_said, said_of
from camscope.outputs import Outputs, Task
from camscope.targets import Targets
from tests.conformance.networks import Convolution, Linear, MaxPool, Network, Relu, Sigmoid, Softmax

CHUNK = 64
"""Variants run at a time."""


@dataclass(frozen=True)
class Forward:
    """What one run gave: what every layer put out, and what that means."""

    values: Mapping[str, np.ndarray]
    logits: np.ndarray
    outputs: Outputs


class NumpyAdapter:
    """Runs a `Network`. See `camscope.models.adapter.Adapter`."""

    offers = frozenset({Need.ACTIVATIONS, Need.LINEAR_HEAD, Need.DIRECTIONS, Need.SUFFIX, Need.MASKED})

    def __init__(self, model: Network, decoder: OutputDecoder, task: Task | None) -> None:
        self.model, self.decoder = model, decoder
        self.rules = OutputRules(decoder, task or decoder.task)
        end = list(model.layers.values())[-1]
        self.ending = Ending(sigmoid=isinstance(end, Sigmoid), softmax=isinstance(end, Softmax))

    # ------------------------------------------------------------------ the input

    def exclusive(self) -> AbstractContextManager[None]:
        """Nothing is ever changed, so threads need not wait."""
        return nullcontext()

    def is_tensor(self, value: Any) -> bool:
        """A floating-point array with a batch axis; any other array is a photo."""
        return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim == 4

    def batch(self, given: Batch) -> Batch:
        """The inputs in the model's precision."""
        x = given.given
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            raise InputError(f"Expected a floating-point NumPy array, got {type(x).__name__} of {x.dtype}.")
        if x.ndim != 4:
            raise InputError(f"Expected batch, channel, height and width; got shape {x.shape}.")
        if not len(x):
            raise InputError(f"The batch is empty: shape {x.shape}.")
        bad = [str(i) for i, image in enumerate(x) if not np.isfinite(image).all()]
        if bad:
            raise InputError(f"The input holds NaN or infinity, in image {', '.join(bad)} of the batch.")
        return given.with_given(x.astype(self._dtype))

    def with_captions(self, batch: Batch, texts: Sequence[str]) -> Batch:
        """There are none."""
        raise ModelError("A network in NumPy compares images with no captions.")

    # ------------------------------------------------------------------ the layers

    def layers(self, batch: Batch) -> list[Layer]:
        """All layers with a grid."""
        first = batch.images(slice(1))
        found, met = [], []
        for name, value in self.run(first.altered(with_altered_copies(first.x))).values.items():
            answered, op = answer(value[0], list(value[1:])), self.model.layers[name]
            candidates = candidate_grids(value[:1].shape, first.x.shape, met)
            grid = find_grid(answered, candidates, keeps_axes=isinstance(op, (Convolution, Relu, MaxPool)))
            if grid is not None:
                met.append(grid.space)
                kind, shape, of_features = type(op).__name__, value[:1].shape, not isinstance(op, MaxPool)
                agreement = max(0.0, answered.agreement(grid))
                found.append(Layer(name, kind, shape, grid, 1, True, of_features, agreement))
        return found

    def choose(self, batch: Batch) -> list[Layer]:
        """The deepest layer that reaches the score, and two runners-up; a segmenter's own scores come last."""
        candidates = [layer for layer in reversed(self.layers(batch)) if layer.eligible]
        scores = list(self.model.layers)[-1]
        candidates.sort(key=lambda layer: layer.name == scores)
        reach = zip(candidates, self.reaches(batch, candidates), strict=True)
        found = [layer for layer, reaches in reach if reaches]
        if not found:
            raise LayerError("No layer's positions reach the score.")
        return found[:3]

    def stages(self, batch: Batch) -> list[Layer]:
        """The last layer of each resolution up to the choice."""
        choice, layers = self.choose(batch)[0], self.layers(batch)
        before = [layer for layer in layers[: layers.index(choice)] if layer.eligible]
        last = {layer.grid.space: layer for layer in before if layer.grid.space != choice.grid.space}
        return [*last.values(), choice]

    def fpn_levels(self, batch: Batch) -> list[Layer]:
        """There are none."""
        return []

    def layer(self, batch: Batch, layer: Any, said: SaidGrid | None = None) -> Layer:
        """The layer with this name."""
        if (grid := said_of(said, layer)) is not None and layer in self.model.layers:
            shape = self.run(batch.images(slice(1))).values[layer].shape
            numbered = grid_as_said(
                grid, layer, shape, 2, lambda shape: np.arange(np.prod(shape)).reshape(shape)
            )
            return Layer(layer, type(self.model.layers[layer]).__name__, shape, numbered, 1, False, False)
        with_grid = {one.name: one for one in self.layers(batch)}
        if layer in with_grid:
            return with_grid[layer]
        if layer in self.model.layers:
            raise LayerError(f"The layer {layer!r} has no spatial grid. {', '.join(with_grid)} have one.")
        raise LayerError(f"There is no layer {layer!r}.{nearest(str(layer), self.model.layers)}")

    def reaches(self, batch: Batch, layers: Sequence[Layer]) -> list[bool]:
        """Whether the output changes with what the layer puts out, whatever the change."""
        four = batch.images(np.zeros(4, dtype=np.int64))
        clean, rng = self.run(four), np.random.default_rng(0)

        def reaches(layer: Layer) -> bool:
            A = clean.values[layer.name]
            changes = rng.standard_normal(A.shape).astype(A.dtype) * (1 + np.abs(A).max())
            return bool((self.run(four, layer.name, A + changes).logits != clean.logits).any())

        return [reaches(layer) for layer in layers]

    # ------------------------------------------------------------------ the passes

    def check(self, batch: Batch, needs: frozenset[Need]) -> None:
        """What it offers, it can give on any input."""

    @contextmanager
    def observe(
        self, batch: Batch, needs: LayerNeeds, *, libragrad: bool = False
    ) -> Iterator[NumpyObservation]:
        """Run the model once."""
        assert not libragrad
        forward = self.run(batch)
        if not np.isfinite(forward.logits).all():
            raise ModelError("The model's output holds NaN or infinity.")
        yield NumpyObservation(self, batch, forward)

    def run(self, batch: Batch, after: str | None = None, given: np.ndarray | None = None) -> Forward:
        """The model, or the part of it after a layer that is given what it puts out."""
        values: dict[str, np.ndarray] = {}
        names = list(self.model.layers)

        def run(x: np.ndarray) -> np.ndarray:
            values.update(self.model.outputs(x, after, given))
            return values.get(names[-1], given)

        raw = self.decoder.call(run, batch)
        ends = self.ending.sigmoid or self.ending.softmax
        logits = values[names[-2]] if ends else self.decoder.logits(raw)
        return Forward(values, logits, self.rules.outputs(raw, logits, self.ending, batch))

    # ------------------------------------------------------------------ provenance

    def describe(self) -> dict[str, Any]:
        """What the model is."""
        sha = hashlib.sha256()
        for name, value in self.model.arrays().items():
            sha.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
        return {
            "model": type(self.model).__name__,
            "framework": f"numpy {np.__version__}",
            "device": "cpu",
            "dtype": str(self._dtype),
            "weights_sha256": sha.hexdigest(),
        }

    @property
    def _dtype(self) -> np.dtype:
        return next(iter(self.model.arrays().values())).dtype


@dataclass(frozen=True)
class NumpyObservation:
    """One forward. See `camscope.models.adapter.Observation`."""

    adapter: NumpyAdapter
    batch: Batch
    forward: Forward

    @property
    def outputs(self) -> Outputs:
        return self.forward.outputs

    @property
    def notes(self) -> tuple[str, ...]:
        return self.adapter.rules.notes(self.forward.logits, self.adapter.ending)

    def evidence(
        self, targets: Targets, needs: LayerNeeds, seed: int
    ) -> Iterator[tuple[str, slice, Evidence]]:
        every = frozenset[Need]().union(*needs.values())
        ((columns, model),) = self.model_evidence(targets, every, seed)
        for layer, wanted in needs.items():
            A = self.forward.values[layer.name]
            head = self._head(A, targets) if wanted & {Need.LINEAR_HEAD, Need.DIRECTIONS} else None
            yield (
                layer.name,
                columns,
                Evidence(
                    A,
                    head=head if Need.LINEAR_HEAD in wanted else None,
                    suffix=After(self, targets, layer.name) if Need.SUFFIX in wanted else None,
                    model=model if wanted & {Need.SUFFIX, Need.MASKED} else None,
                    directions=self._directions(layer.name, head, targets)
                    if Need.DIRECTIONS in wanted
                    else None,
                    seed=seed,
                ),
            )

    def _directions(self, layer: str, head: LinearHead | None, targets: Targets) -> Directions:
        """Exact behind a linear head, else by re-runs."""
        if head is not None:
            return BehindHead(head)

        def after(image: int) -> Callable[[np.ndarray], np.ndarray]:
            def answers(rows: np.ndarray) -> np.ndarray:
                same = self.batch.images(np.full(len(rows), image))
                return self.adapter.rules.both_classes(self.adapter.run(same, layer, rows).logits)

            return answers

        return Differences(self.forward.values[layer], self._slopes(targets), after)

    def model_evidence(
        self, targets: Targets, needs: frozenset[Need], seed: int
    ) -> Iterator[tuple[slice, ModelEvidence]]:
        masked = Masked(self, targets) if Need.MASKED in needs else None
        clean = responses(targets, self.outputs)
        yield slice(0, len(targets)), ModelEvidence(self.batch.x, clean, masked, seed=seed)

    def image(self, image: int) -> Batch:
        return self.batch.images(slice(image, image + 1))

    def _head(self, activations: np.ndarray, targets: Targets) -> LinearHead | None:
        """The last linear layer, if logits = W · mean(F) + b, in numbers and on every row of this batch."""
        logits, raw = self.forward.logits, self.outputs.raw
        linear = [op for op in self.adapter.model.layers.values() if isinstance(op, Linear)]
        if not linear or logits.ndim != 2 or (any(targets.functions) and raw is not logits):
            return None
        for F in (activations, np.maximum(activations, 0)):
            pooled = F.mean(axis=(2, 3))
            if pooled.shape[1] == linear[-1].weight.shape[1]:
                gap = np.abs(linear[-1](pooled) - logits).max(axis=1)
                if (gap <= 1e-4 * np.abs(logits).max(axis=1)).all():
                    weights = (self._slopes(targets) @ linear[-1].weight).astype(F.dtype)
                    return LinearHead(weights, F, F is activations, targets.linear)
        return None

    def _slopes(self, targets: Targets) -> np.ndarray:
        """∂score/∂logit, `batch target output`, by central differences in double precision."""
        z, step = self.forward.logits.astype(np.float64), 1e-4

        def scores(z: np.ndarray) -> np.ndarray:
            return targets.scores(Outputs(self.adapter.rules.both_classes(z), self.outputs.task, z))

        units = step * np.eye(z.shape[1])
        return np.stack([(scores(z + e) - scores(z - e)) / (2 * step) for e in units], axis=2)


@dataclass(frozen=True)
class Masked:
    """Runs the whole model on altered inputs. See `camscope.evidence.Rerun`."""

    seen: NumpyObservation
    targets: Targets

    def __call__(self, image: int, count: int, variants: Variants) -> Responses:
        own = self.seen.image(image)
        run = self.seen.adapter.run
        return _in_chunks(lambda some: run(own.altered(variants(some))), count, self.targets, image)


@dataclass(frozen=True)
class After(SuffixRerun):
    """Runs the part after a layer. See `camscope.evidence.SuffixRerun`."""

    seen: NumpyObservation
    targets: Targets
    layer: str

    def __call__(self, image: int, count: int, variants: Variants) -> Responses:
        run = self.seen.adapter.run

        def answers(some: np.ndarray) -> Forward:
            return run(self.seen.batch.images(np.full(len(some), image)), self.layer, variants(some))

        return _in_chunks(answers, count, self.targets, image)


def _in_chunks(run: Callable[[np.ndarray], Forward], count: int, targets: Targets, image: int) -> Responses:
    found = [Responses(np.zeros((0, len(targets)), np.float32), np.zeros((0, len(targets)), np.float32))]
    for some in slices_of(count, CHUNK):
        numbers = np.arange(some.start, some.stop)
        found.append(responses(targets.images(np.full(len(numbers), image)), run(numbers).outputs))
    return Responses(
        np.concatenate([r.scores for r in found]), np.concatenate([r.probabilities for r in found])
    )
