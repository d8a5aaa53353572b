"""One run of one batch, and the evidence to be had from it: by the linear head first, then by pulling slopes back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Shaped

from camscope.errors import LayerError, ModelError
from camscope.evidence import OF_INPUTS, Directions, Evidence, LinearHead, ModelEvidence, Need
from camscope.models.adapter import LayerNeeds
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.observing import NARROW, responses, slices_of
from camscope.models.runtime.attending import attention_of
from camscope.models.runtime.differences import BehindHead, Differences
from camscope.models.runtime.finding import LayersByRuns
from camscope.models.runtime.linear_head import AffineHead, HeadFinder
from camscope.models.runtime.rounded_head import rounded_head
from camscope.models.runtime.runs import PullBack, Run, Runtime
from camscope.models.runtime.scoring import Scoring, logits_everywhere, widened
from camscope.models.runtime.variants import AlteredActivations, AlteredInputGradients, AlteredInputs
from camscope.outputs import Outputs
from camscope.targets import Targets, slopes_through, target_slopes

_GRADIENT_BUDGET = 32 * 2**20
"""Bytes of gradients held at a time. More targets than fit are taken in turns."""

_SAME = 1e-3
"""How far the part after a layer may be off from the whole run, as a share of the largest score of an image."""


@dataclass(frozen=True)
class RunObservation:
    """One run of one batch. See `camscope.models.adapter.Observation`.

    Attributes:
        runtime: of the model.
        scoring: tells its scores.
        layers: knows its layers.
        heads: knows its heads.
        batch: the inputs.
        run: what was seen.
        outputs: what that means.
        pull_back: differentiates the run; None where nobody wants gradients.
    """

    runtime: Runtime
    scoring: Scoring
    layers: LayersByRuns
    heads: HeadFinder
    batch: Batch
    run: Run
    outputs: Outputs
    pull_back: PullBack | None
    _heads: dict[Layer, AffineHead | None] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the maps should know of how the outputs are read."""
        return self.scoring.rules.notes(self.scoring.logits(self.run, self.batch), self.run.ending)

    def evidence(
        self, targets: Targets, needs: LayerNeeds, seed: int
    ) -> Iterator[tuple[str, slice, Evidence]]:
        """Evidence layer by layer, a few targets at a time where each has gradients of its own.

        Args:
            targets: of the batch.
            needs: of all methods at each layer.
            seed: handed on to the evidence.
        """
        activations = {layer: self._activations(layer) for layer in needs}
        heads = {layer: self._head(layer, some) for layer, some in needs.items()}
        pulled = self.to_pull_back(needs)
        slopes = functools.cache(lambda: target_slopes(targets, self.outputs))
        wanted = frozenset[Need]().union(*needs.values())
        bytes_each = sum(activations[layer].nbytes for layer in pulled)
        at_a_time = max(1, min(len(targets), _GRADIENT_BUDGET // max(1, bytes_each)))
        for columns in slices_of(len(targets), at_a_time):
            some_targets, some_slopes = targets[columns], functools.partial(_columns, slopes, columns)
            gradients = self._pulled_back(some_slopes(), pulled) if pulled else {}
            model = None
            if wanted & (OF_INPUTS | {Need.SUFFIX}):
                ((_, model),) = self.model_evidence(some_targets, wanted, seed)
            for layer, some in needs.items():
                A = activations[layer]
                head = self._linear_head(layer, A, heads[layer], some, some_targets, some_slopes)
                gradient = gradients.get(layer)
                if Need.GRADIENTS in some and gradient is None and head is not None:
                    gradient = _gradient_behind(head)
                evidence = Evidence(
                    A,
                    gradient,
                    head=head if Need.LINEAR_HEAD in some else None,
                    suffix=self._suffix(layer, some_targets) if Need.SUFFIX in some else None,
                    model=model,
                    seed=seed,
                    directions=self._directions(layer, A, head, some_slopes())
                    if Need.DIRECTIONS in some
                    else None,
                )
                yield layer.name, columns, evidence

    def to_pull_back(self, needs: LayerNeeds) -> Sequence[Layer]:
        """The layers whose gradients no linear head tells, on every image of this batch."""
        return [
            layer
            for layer, some in needs.items()
            if Need.GRADIENTS in some and not _pools_activations(self._head(layer, some))
        ]

    def model_evidence(
        self, targets: Targets, needs: frozenset[Need], seed: int
    ) -> Iterator[tuple[slice, ModelEvidence]]:
        """Evidence of the model as a whole.

        Args:
            targets: of the batch.
            needs: of all methods.
            seed: handed on to the evidence.
        """
        given = (self.runtime, self.scoring, self.batch, targets)
        yield (
            slice(0, len(targets)),
            ModelEvidence(
                self.batch.x,
                responses(targets, self.outputs),
                AlteredInputs(*given) if Need.MASKED in needs else None,
                AlteredInputGradients(*given) if Need.MASKED_GRADIENTS in needs else None,
                attention=attention_of(self.runtime, self.scoring, self.layers, self.batch)
                if Need.ATTENTION in needs
                else None,
                seed=seed,
            ),
        )

    def _activations(self, layer: Layer) -> Float[np.ndarray, "batch channel *space"]:
        own = self.run.values[layer.name]
        rows = own.shape[layer.batch_axis]
        if rows != len(self.batch):
            raise LayerError(
                f"The layer {layer.name!r} put out {rows} rows for {len(self.batch)} images: the model sends it "
                "some of them only, or cuts them up. Choose a layer that every image goes through."
            )
        A: np.ndarray = widened(layer.grid.canonical(own))
        return A

    def _head(self, layer: Layer, needs: frozenset[Need]) -> AffineHead | None:
        """The linear head behind a layer, where that is asked or spares a backward."""
        logits = self.scoring.logits(self.run, self.batch)
        if not needs & {Need.LINEAR_HEAD, Need.GRADIENTS, Need.DIRECTIONS} or logits.ndim > 2:
            return None
        kind = kind_of(layer, self.batch)
        if Need.LINEAR_HEAD not in needs and self.heads.is_known_for_none(kind):
            return None
        if layer not in self._heads:
            self._heads[layer] = self._found_head(layer, kind)
        return self._heads[layer]

    def _found_head(self, layer: Layer, kind: Hashable) -> AffineHead | None:
        activations, scores = self._activations(layer), np.asarray(self.outputs.logits)
        if (known := self.heads.known(kind, activations, scores)) is not None:
            return known
        after = self._answers(layer, slice(None))
        found = after(activations)
        largest = np.abs(np.where(np.isfinite(scores), scores, 0)).max(axis=1, keepdims=True)
        if not ((found == scores) | (np.abs(found - scores) <= _SAME * largest)).all():
            raise ModelError(
                f"The part after {layer.name!r} gives other scores than the whole model for the same activations, "
                "so the model does not answer the same twice (random draws, a state that it keeps). Nothing it "
                "says of altered activations could be trusted."
            )
        half = str(self.run.values[layer.name].dtype) in NARROW
        far = not half and not self.scoring.rules.reads_probabilities(self.run.ending)
        return self.heads.head(kind, activations, scores, after, self._answers(layer, slice(1)), far=far)

    def _linear_head(
        self,
        layer: Layer,
        activations: Float[np.ndarray, "batch channel *space"],
        affine: AffineHead | None,
        needs: frozenset[Need],
        targets: Targets,
        slopes: Callable[[], Float[np.ndarray, "batch target class *space"]],
    ) -> LinearHead | None:
        """What the head behind a layer says of some targets; where there is none, what the weights say roughly.

        Args:
            layer: the layer.
            activations: of the layer.
            affine: the exact head behind it, if there is one.
            needs: what is wanted at the layer.
            targets: some targets.
            slopes: gives those of these targets by the class scores.
        """
        if affine is not None:
            by_channel = slopes_through(
                targets,
                self.outputs,
                affine.weight_in(activations.dtype),
                slopes,
            )
            return LinearHead(
                by_channel.astype(activations.dtype, copy=False),
                affine.features(activations),
                not affine.rectifies,
                targets.linear,
                self._trial(affine, layer, activations),
            )
        if Need.LINEAR_HEAD not in needs or self.outputs.predictions is not None:
            return None
        scores = np.asarray(self.outputs.logits)
        return rounded_head(self.runtime, self.batch, activations, scores, slopes)

    def _suffix(self, layer: Layer, targets: Targets) -> AlteredActivations:
        own = self.run.values[layer.name]
        return AlteredActivations(self.runtime, self.scoring, self.batch, targets, layer, own)

    def _directions(
        self,
        layer: Layer,
        activations: np.ndarray,
        head: LinearHead | None,
        slopes: Float[np.ndarray, "batch target class *space"],
    ) -> Directions:
        """Derivatives along directions: exact behind a linear head, else by re-runs."""
        if head is not None and head.correlation is None:
            return BehindHead(head)
        return Differences(activations, slopes, lambda image: self._answers(layer, slice(image, image + 1)))

    def _trial(
        self, head: AffineHead, layer: Layer, activations: Float[np.ndarray, "batch channel *space"]
    ) -> Callable[[], bool]:
        """Tries, when it is first asked, whether the head's formula holds for altered activations of this batch too."""

        @functools.cache
        def holds() -> bool:
            return head.holds_when_altered(activations, self._answers(layer, slice(None)))

        return holds

    def _answers(self, layer: Layer, images: slice) -> Callable[[np.ndarray], np.ndarray]:
        """From altered activations of some images to class scores; of dense outputs to those at every position."""
        axis = layer.batch_axis
        batch, own = self.batch.images(images), self.run.values[layer.name]
        own = own[:, images] if axis else own[images]
        after = self.runtime.after(batch, layer.name, axis)

        def answers(activations: np.ndarray) -> np.ndarray:
            rows = len(activations)
            like, of = (
                (own, batch)
                if own.shape[axis] == rows
                else (np.repeat(own, rows, axis=axis), batch.images(np.zeros(rows, dtype=np.int64)))
            )
            run = after(layer.grid.embed(activations.astype(own.dtype), like))
            return logits_everywhere(self.scoring.outputs(run, of))

        return answers

    def _pulled_back(
        self, slopes: Float[np.ndarray, "batch target class *space"], layers: Sequence[Layer]
    ) -> Mapping[Layer, Float[np.ndarray, "batch target _ ..."]]:
        """The gradient of each target by what the layers put out."""
        assert self.pull_back is not None
        found: dict[Layer, list[Shaped[np.ndarray, " ..."]]] = {layer: [] for layer in layers}
        for t in range(slopes.shape[1]):
            by_layer = self.pull_back(self.scoring.slopes_of_run(slopes[:, t], self.run, self.batch))
            for layer in layers:
                found[layer].append(widened(layer.grid.canonical(by_layer[layer.name])))
        return {layer: np.stack(each, axis=1) for layer, each in found.items()}


def kind_of(layer: Layer, batch: Batch) -> Hashable:
    """By what the head behind a layer is remembered."""
    return layer.name, batch.signature


def _pools_activations(head: AffineHead | None) -> bool:
    """Whether a head's weights tell the gradients: it pools the activations themselves, and not their ReLU."""
    return head is not None and not head.rectifies


def _gradient_behind(head: LinearHead) -> Float[np.ndarray, "batch target channel *one"]:
    """The gradient behind a head that pools the activations: w_k / N, the same at all N positions."""
    space = head.features.shape[2:]
    gradient: np.ndarray = (head.weights / int(np.prod(space)))[(..., *(None,) * len(space))]
    return gradient


def _columns(
    slopes: Callable[[], Float[np.ndarray, "batch target class *space"]], columns: slice
) -> Float[np.ndarray, "batch some class *space"]:
    return slopes()[:, columns]
