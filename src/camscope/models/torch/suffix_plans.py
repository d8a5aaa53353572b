"""How the part of a model after each layer is run: proposed once for each layer and shape of the input.

A proposal is found on one image and tried on every other before it is used for it, see `reruns.on_batch`.
"""

from __future__ import annotations

import torch

from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.remembered import Remembered
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
        self._plans: Remembered[dict[str, Plan]] = Remembered(forwards.model)
        self._flattened: Remembered[dict[str, Flattened | None]] = Remembered(forwards.model)

    def plan(self, batch: Batch, layer: Layer) -> Plan:
        """Proposes how the part after a layer is run."""
        plans = self._plans.get(batch.signature, dict)
        if layer.name not in plans:
            first = batch.images(slice(1))
            with torch.no_grad():
                to_logits = self._forwards.to_logits(first)
                plans[layer.name] = plan_suffix(self._forwards.model, to_logits, first.x, layer)
        return plans[layer.name]

    def flattened(self, batch: Batch, plan: Plan) -> Flattened | None:
        """Proposes the linear layer that reads the layer's channels side by side; None if there is none."""
        known = self._flattened.get(batch.signature, dict)
        name = plan.layer.name
        if name not in known:
            known[name] = None if plan.whole else self._find_flattened(batch.images(slice(1)), plan)
        return known[name]

    def _find_flattened(self, first: Batch, plan: Plan) -> Flattened | None:
        with torch.no_grad():
            return find_flattened(self._forwards.model, self._forwards.to_logits(first), first.x, plan)
