"""How the part of a model after each layer is run: proposed once for each layer and shape of the input.

A proposal is found on one image and tried on every other before it is used for it, see `reruns.on_batch`.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch

from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.reruns.flattened import Flattened, find_flattened
from camscope.models.torch.reruns.planning import plan_suffix
from camscope.models.torch.reruns.suffix import Plan


class SuffixPlans:
    """Plans for one model, remembered. Call its methods inside `explaining(model)`.

    Args:
        forwards: of the model.
    """

    def __init__(self, forwards: Forwards) -> None:
        self._forwards = forwards
        self._plans: dict[tuple[Hashable, str], Plan] = {}
        self._flattened: dict[tuple[Hashable, str], Flattened | None] = {}

    def plan(self, batch: Batch, layer: Layer) -> Plan:
        """Proposes how the part after a layer is run."""
        key = (batch.signature, layer.name)
        if key not in self._plans:
            first = batch.images(slice(1))
            with torch.no_grad():
                to_logits = self._forwards.to_logits(first)
                self._plans[key] = plan_suffix(self._forwards.model, to_logits, first.x, layer)
        return self._plans[key]

    def flattened(self, batch: Batch, plan: Plan) -> Flattened | None:
        """Proposes the linear layer that reads the layer's channels side by side; None if there is none."""
        key = (batch.signature, plan.layer.name)
        if key not in self._flattened:
            self._flattened[key] = None if plan.whole else self._find_flattened(batch.images(slice(1)), plan)
        return self._flattened[key]

    def _find_flattened(self, first: Batch, plan: Plan) -> Flattened | None:
        with torch.no_grad():
            return find_flattened(self._forwards.model, self._forwards.to_logits(first), first.x, plan)
