"""One forward of one batch, and the evidence to be had from it: by closed forms first, then by short backwards."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float

from camscope.errors import LayerError, TargetError
from camscope.evidence import Evidence, LinearHead, ModelEvidence, Need
from camscope.models.adapter import LayerNeeds
from camscope.models.layer import Layer
from camscope.models.observing import responses, slices_of
from camscope.models.torch.anatomy.head import Classifier, Features, Pooled
from camscope.models.torch.backwards.curvature import curvature
from camscope.models.torch.further_passes import OF_THE_MODEL, PER_TARGET, FurtherPasses
from camscope.models.torch.head_trial import holds_when_altered
from camscope.models.torch.hooks.grafting import Source, gradients_by
from camscope.models.torch.precision import widened
from camscope.outputs import Outputs
from camscope.targets import Targets

_GRADIENT_BUDGET = 32 * 2**20
"""Bytes of gradients held at a time. More targets than fit are taken in turns; the arithmetic is the same."""

_WHOLE_GRADIENTS = 4
"""Targets whose gradients of the whole model (inputs, biases, attention) are held at a time, at most."""

_BIAS_BUDGET = 512 * 2**20
"""Bytes of bias gradients, which are as large as all the model's outputs together, held at a time."""


@dataclass(frozen=True)
class _Ways:
    """How each layer's gradients are had.

    Attributes:
        pooled: what the linear head pools, of the layers that have one: the gradients come from its weights.
        backward: layers that take a backward per target.
        curved: layers that take two.
    """

    pooled: Mapping[Layer, Features]
    backward: Sequence[Layer]
    curved: Sequence[Layer]


@dataclass(frozen=True)
class TorchObservation:
    """One forward of one batch; the graph from the first target layer on is alive as long as this is.

    Attributes:
        outputs: of the model.
        notes_on_outputs: what a reader should know of how these are read.
        logits: as the model puts them out, on the graph.
        recorded: what each target layer put out, in its own layout.
        sources: by what to differentiate for the gradients of these.
        classifier: the verified linear head, if there is one and it was looked for.
        expand: from logits as the model puts them out to one score per class.
        passes: further passes of the model on this batch.
    """

    outputs: Outputs
    notes_on_outputs: tuple[str, ...]
    logits: Float[torch.Tensor, " batch *output"]
    recorded: Mapping[Layer, torch.Tensor]
    sources: Mapping[Layer, Source]
    classifier: Classifier | None
    expand: Callable[[torch.Tensor], torch.Tensor]
    passes: FurtherPasses
    _second_relu: dict[Layer, bool] = field(default_factory=dict, init=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the maps should know, as far as they are made."""
        return (*self.notes_on_outputs, *self.passes.notes)

    def model_evidence(
        self, targets: Targets, needs: frozenset[Need], seed: int
    ) -> Iterator[tuple[slice, ModelEvidence]]:
        """Evidence of the model as a whole, a few targets at a time where each needs a backward of its own.

        Args:
            targets: of the batch.
            needs: of all methods.
            seed: handed on to the evidence.
        """
        clean = responses(targets, self.outputs)
        chunk = self._at_a_time(needs) if needs & PER_TARGET else max(1, len(targets))
        for columns in slices_of(len(targets), chunk):
            own = operator.itemgetter((slice(None), columns))
            here = clean.changed(lambda values: values.detach()).changed(own)
            yield columns, self.passes.evidence(targets[columns], here, needs, seed)

    def evidence(
        self, targets: Targets, needs: LayerNeeds, seed: int
    ) -> Iterator[tuple[str, slice, Evidence]]:
        """Evidence layer by layer, a few targets at a time.

        Behind a verified linear head the gradients come from its weights, after one backward through
        its pooling for all targets; only the other layers share a backward per target, which ends at the shallowest.

        Args:
            targets: of the batch.
            needs: of all methods at each layer.
            seed: handed on to the evidence.
        """
        activations = {layer: widened(layer.grid.canonical(self.recorded[layer].detach())) for layer in needs}
        self._check_rows(activations)
        ways = self._ways(activations, targets, needs)
        differentiated = (*ways.backward, *ways.curved)
        scores = targets.scores(self.outputs) if differentiated else None
        weights = self._head_weights(targets) if ways.pooled else None
        wanted = frozenset[Need]().union(*needs.values())
        for columns in slices_of(
            len(targets), self._chunk(activations, differentiated, wanted, len(targets))
        ):
            gradients = self._gradients(scores, columns, ways.backward)
            first, curvatures = self._curvatures(scores, columns, ways.curved)
            gradients |= first
            model = None
            if wanted & (OF_THE_MODEL | {Need.SUFFIX}):
                ((_, model),) = self.model_evidence(targets[columns], wanted, seed)
            for layer, A in activations.items():
                head, gradient = None, gradients.get(layer)
                if weights is not None and (features := ways.pooled.get(layer)) is not None:
                    head = LinearHead(
                        weights[:, columns],
                        features.values,
                        features.activations_themselves,
                        targets.linear,
                        self._trial(layer, features, weights[:, columns]),
                    )
                    if Need.GRADIENTS in needs[layer] and features.activations_themselves:
                        gradient = _through_the_mean(head.weights, A)
                second = curvatures.get(layer)
                if Need.CURVATURE in needs[layer] and second is None:
                    assert gradient is not None
                    second = torch.zeros_like(gradient)
                if gradient is not None and second is not None:
                    gradient = gradient.expand_as(second)
                suffix = self.passes.suffix(layer, targets[columns]) if Need.SUFFIX in needs[layer] else None
                yield layer.name, columns, Evidence(A, gradient, second, head, suffix, model, seed)

    def _check_rows(self, activations: Mapping[Layer, torch.Tensor]) -> None:
        """Refuse a layer that some of the images did not go through.

        Args:
            activations: of each layer.

        Raises:
            LayerError: if its output has more or fewer rows than there are images.
        """
        images = self.logits.shape[0]
        for layer, A in activations.items():
            if len(A) != images:
                raise LayerError(
                    f"The layer {layer.name!r} put out {len(A)} rows for {images} images: the model sends it some of "
                    "them only (an expert, a branch), or cuts them up. Choose a layer that every image goes through."
                )

    def _ways(self, activations: Mapping[Layer, torch.Tensor], targets: Targets, needs: LayerNeeds) -> _Ways:
        """How each layer's gradients are had.

        Args:
            activations: of each layer, canonical.
            targets: of the batch. Of a linear score behind a linear head there is no curvature.
            needs: of all methods at each layer.
        """
        pooled = self._pooled(activations, targets)
        by_weights = {layer for layer, features in pooled.items() if features.activations_themselves}
        curved = [
            layer
            for layer, some in needs.items()
            if Need.CURVATURE in some and not (targets.linear and layer in by_weights)
        ]
        backward = [
            layer
            for layer, some in needs.items()
            if Need.GRADIENTS in some and layer not in curved and layer not in by_weights
        ]
        return _Ways(pooled, backward, curved)

    def _chunk(
        self,
        activations: Mapping[Layer, torch.Tensor],
        differentiated: Sequence[Layer],
        wanted: frozenset[Need],
        count: int,
    ) -> int:
        """How many targets to take at a time.

        Args:
            activations: of each layer.
            differentiated: the layers whose gradients take memory for each target.
            wanted: all needs.
            count: how many targets there are.
        """
        if differentiated:
            bytes_each = sum(activations[layer].nbytes for layer in differentiated)
            count = max(1, min(count, _GRADIENT_BUDGET // max(1, bytes_each)))
        return min(count, self._at_a_time(wanted)) if wanted & PER_TARGET else count

    def _at_a_time(self, needs: frozenset[Need]) -> int:
        """How many targets share a pass of the whole model; of the bias gradients as many as fit."""
        if Need.INPUT_GRADIENTS not in needs:
            return _WHOLE_GRADIENTS
        x = self.passes.x
        outputs = sum(math.prod(shape) for shape in self.passes.anatomy.shapes.values())
        each = outputs * x.shape[0] * x.element_size()
        return max(1, min(_WHOLE_GRADIENTS, _BIAS_BUDGET // max(1, each)))

    def _pooled(self, activations: Mapping[Layer, torch.Tensor], targets: Targets) -> dict[Layer, Features]:
        """What the linear head pools at each layer that has one."""
        callables = targets.of_functions
        if self.classifier is None or (callables and self.outputs.raw is not self.logits):
            return {}
        pooled = self.classifier.pooled
        found = {}
        for layer, A in activations.items():
            features = pooled.features(A)
            if features is None:
                continue
            if features.activations_themselves and self._has_relu_before_pooling(layer, A, pooled):
                features = Features(features.values, activations_themselves=False)
            found[layer] = features
        return found

    def _has_relu_before_pooling(self, layer: Layer, activations: torch.Tensor, pooled: Pooled) -> bool:
        """Whether a ReLU stands between a layer and the pooling that changes none of its values, but their gradient.

        Found by one backward from the pooling to the layer, once for all targets. Of a layer that is itself such a
        ReLU (`+relu`) it is no second one.

        Args:
            layer: whose mean is pooled.
            activations: its own, canonical.
            pooled: the classifier's input.
        """
        if layer.after_relu or not pooled.values.requires_grad:
            return False
        if bool(activations.min() < 0):  # it would have changed these
            return False
        if layer in self._second_relu:
            return self._second_relu[layer]
        probe = torch.linspace(0.5, 1, pooled.values.shape[1]).to(pooled.values).expand_as(pooled.values)
        (gradient,) = gradients_by(pooled.values, [self.recorded[layer]], [self.sources[layer]], probe)
        gradient = widened(layer.grid.canonical(gradient))
        self._second_relu[layer] = not pooled.passes_gradients_evenly(activations, gradient, probe)
        return self._second_relu[layer]

    def _trial(
        self, layer: Layer, features: Features, weights: Float[torch.Tensor, "batch target channel"]
    ) -> Callable[[], bool]:
        """Tries, when it is first asked, whether the head's formula holds for altered activations too.

        Args:
            layer: whose activations are altered.
            features: what is pooled.
            weights: of the targets.
        """

        @functools.cache
        def holds() -> bool:
            assert self.classifier is not None
            return holds_when_altered(
                self.classifier, self.passes, self.expand, layer, features.values, weights
            )

        return holds

    def _head_weights(self, targets: Targets) -> Float[torch.Tensor, "batch target channel"]:
        """∂score/∂pooled: a selection of the classifier's rows, or the score's derivative by the logits times them."""
        assert self.classifier is not None
        weight = self.classifier.weight
        batch = self.logits.shape[0]
        if targets.all_logits:
            rows = self.expand(weight.T).T  # one-logit heads: the rows of both classes
            signs = torch.as_tensor(targets.signs, dtype=rows.dtype, device=rows.device)[..., None]
            classes = torch.as_tensor(targets.classes, device=rows.device)
            if targets.same_for_all_images:
                return (rows[classes[0]] * signs[0]).expand(batch, -1, -1)
            return rows[classes] * signs
        leaf = self.logits.detach().to(weight.dtype).requires_grad_()
        with torch.enable_grad():
            scores = targets.scores(Outputs(self.expand(leaf), self.outputs.task, leaf))
            if not scores.requires_grad:
                raise TargetError("The target function's score does not depend on the model's output.")
            slopes = [
                torch.autograd.grad(score.sum(), leaf, retain_graph=True)[0] for score in scores.unbind(1)
            ]
        return torch.stack(slopes, dim=1).reshape(batch, len(targets), -1) @ weight

    def _gradients(
        self,
        scores: Float[torch.Tensor, "batch target"] | None,
        columns: slice,
        layers: Sequence[Layer],
    ) -> dict[Layer, torch.Tensor]:
        """One backward per target, through the part after the shallowest of the layers."""
        if scores is None or not layers:
            return {}
        tensors, sources = self._places_of(layers)
        return _stacked(layers, [_gradients(scores[:, t], tensors, sources) for t in _places(columns)])

    def _curvatures(
        self,
        scores: Float[torch.Tensor, "batch target"] | None,
        columns: slice,
        layers: Sequence[Layer],
    ) -> tuple[dict[Layer, torch.Tensor], dict[Layer, torch.Tensor]]:
        """Gradients and H·A, H the Hessian of the score by the layer's activations A."""
        if scores is None or not layers:
            return {}, {}
        tensors, sources = self._places_of(layers)
        found = [curvature(scores[:, t], tensors, sources) for t in _places(columns)]
        return _stacked(layers, [first for first, _ in found]), _stacked(
            layers, [second for _, second in found]
        )

    def _places_of(self, layers: Sequence[Layer]) -> tuple[list[torch.Tensor], list[Source]]:
        """What these layers put out, and by what to differentiate for its gradients."""
        return [self.recorded[layer] for layer in layers], [self.sources[layer] for layer in layers]


def _places(columns: slice) -> range:
    return range(columns.start, columns.stop)


def _through_the_mean(
    weights: Float[torch.Tensor, "batch target channel"],
    activations: Float[torch.Tensor, "batch channel *space"],
) -> Float[torch.Tensor, "batch target channel *one"]:
    """∂score/∂A where the score depends on the mean of A over space alone: the same at every position.

    Args:
        weights: ∂score/∂mean.
        activations: A, which tells the number of positions.
    """
    space = activations.shape[2:]
    return (weights / space.numel())[(..., *(None,) * len(space))]


def _gradients(
    score: Float[torch.Tensor, " batch"], tensors: Sequence[torch.Tensor], sources: Sequence[Source]
) -> list[torch.Tensor]:
    """Of one target, zero where the score does not depend on the layer."""
    if not score.requires_grad:
        return [torch.zeros_like(tensor) for tensor in tensors]
    return gradients_by(score.sum(), tensors, sources)


def _stacked(
    layers: Sequence[Layer], per_target: Sequence[Sequence[torch.Tensor]]
) -> dict[Layer, torch.Tensor]:
    """By layer, canonical, the targets on an axis of their own."""
    stacked = {}
    for layer, found in zip(layers, zip(*per_target, strict=True), strict=bool(per_target)):
        maps = [widened(layer.grid.canonical(g)) for g in found]
        stacked[layer] = maps[0][:, None] if len(maps) == 1 else torch.stack(maps, dim=1)
    return stacked
