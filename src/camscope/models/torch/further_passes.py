"""What is gathered of the model as a whole: re-runs on altered inputs, and passes with a graph or rules of their own.

Each of these passes is a forward by itself: it needs hooks, a graph from the input on or another backward, none of
which the forward for layers should pay for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Shaped
from torch import nn

from camscope.evidence import ATTENDED, BACKWARD, ModelEvidence, Need, Responses
from camscope.models.layer import Layer
from camscope.models.torch.anatomy.examine import Anatomy
from camscope.models.torch.attention.observe import attention_of
from camscope.models.torch.backwards.full_gradients import full_gradients
from camscope.models.torch.backwards.guided import guided_gradients
from camscope.models.torch.precision import widened
from camscope.models.torch.reruns.flattened import Flattened
from camscope.models.torch.reruns.on_batch import OnBatch, Run
from camscope.models.torch.reruns.rerun import MaskedGradients, MaskedRerun, SuffixRerun, chunk_size
from camscope.models.torch.reruns.suffix import Kept, Plan
from camscope.targets import Targets

PER_TARGET = BACKWARD - {Need.GRADIENTS, Need.CURVATURE}
"""Needs that take a full backward, and the memory of its results, for every target."""

OF_THE_MODEL = PER_TARGET | {Need.MASKED, Need.MASKED_GRADIENTS, Need.ATTENTION}
"""Needs that are met for the model as a whole, not for a layer."""


@dataclass(frozen=True)
class FurtherPasses:
    """Further passes of the whole model on one batch, each made only when a method needs it.

    Attributes:
        model: an unwrapped module, inside `explaining`.
        run: runs the model on altered inputs of the batch.
        run_of: from the number of an image to what runs the model on any number of variants of it.
        x: the batch.
        anatomy: what one forward showed.
        plans: how the part after each layer is run, of the layers where that is wanted.
        kept: what that part needs of the forward of the batch, of the same layers.
        flattened: finds the linear layer that reads a layer's channels side by side; None if there is none.
        ways: how the part after each layer is run for each image, of the layers where that was asked for.
    """

    model: nn.Module
    run: Run
    run_of: Callable[[int], Run]
    x: Shaped[torch.Tensor, " batch *size"]
    anatomy: Anatomy
    plans: Mapping[Layer, Plan]
    kept: Mapping[Layer, Kept]
    flattened: Callable[[Layer], Flattened | None]
    ways: dict[Layer, OnBatch] = field(default_factory=dict, init=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the maps should know of how re-runs were made."""
        return tuple(note for way in self.ways.values() for note in way.notes)

    def suffix(self, layer: Layer, targets: Targets) -> SuffixRerun:
        """What runs the part after the layer.

        Args:
            layer: one of those that have a plan.
            targets: what is scored.
        """
        return SuffixRerun(self.way(layer), targets)

    def way(self, layer: Layer) -> OnBatch:
        """How the part after the layer is run for the images of the batch.

        Args:
            layer: one of those that have a plan.
        """
        if layer not in self.ways:
            self.ways[layer] = OnBatch(
                self.model,
                self.run,
                self.run_of,
                self.x,
                self.plans[layer],
                self.kept[layer],
                functools.partial(self._chunk_of, layer),
                functools.partial(self.flattened, layer),
            )
        return self.ways[layer]

    def _chunk_of(self, layer: Layer, plan: Plan) -> int:
        """How many altered outputs of a layer, or of one after it, are run at a time by a plan."""
        names = list(self.anatomy.shapes)
        return self._chunk(names if plan.whole else names[names.index(layer.module) :])

    def evidence(
        self, targets: Targets, clean: Responses, needs: frozenset[Need], seed: int
    ) -> ModelEvidence:
        """Evidence of the model as a whole: what is wanted, and no pass beside.

        Args:
            targets: of the batch.
            clean: the responses to the batch itself.
            needs: of all methods.
            seed: see `ModelEvidence`.
        """
        attention = None
        if needs & ATTENDED:
            graded = bool(needs & {Need.ATTENTION_GRADIENTS, Need.BLOCK_GRADIENTS})
            attention = attention_of(
                self.model,
                self.run,
                self.x,
                targets if graded else None,
                run_first=self.run_of(0),
                blocks=Need.BLOCK_GRADIENTS in needs,
                gradients=Need.ATTENTION_GRADIENTS in needs,
                anatomy=self.anatomy,
            )
        return ModelEvidence(
            inputs=widened(self.x),
            responses=clean,
            masked=MaskedRerun(self.run_of, self.x, targets, self._chunk(list(self.anatomy.shapes)))
            if Need.MASKED in needs
            else None,
            masked_gradients=MaskedGradients(self.run, targets, self.x)
            if Need.MASKED_GRADIENTS in needs
            else None,
            full_gradients=full_gradients(self.model, self.run, self.x, targets)
            if Need.INPUT_GRADIENTS in needs
            else None,
            guided_gradients=guided_gradients(self.model, self.run, self.x, targets)
            if Need.GUIDED_GRADIENTS in needs
            else None,
            attention=attention,
            seed=seed,
        )

    def _chunk(self, modules: list[str]) -> int:
        """How many variants to run at a time, by the largest that these modules put out for one image."""
        largest = max((math.prod(self.anatomy.shapes[name]) for name in modules), default=0)
        return chunk_size(max(largest, self.x[0].numel()) * self.x.element_size(), self.x.device)
