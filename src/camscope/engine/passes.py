"""Runs methods on one input: each gets the evidence it needs, from one forward and the fewest backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camscope.composition import made, modifiers_of
from camscope.engine.gathering import Gathered
from camscope.engine.notes import Notes
from camscope.engine.requests import (
    LayersOf,
    ResolvedTargets,
    StrongestChannels,
    methods_at,
    needs_by_layer,
    needs_of,
    same_gradients,
    uses_libragrad,
    wanted_at,
)
from camscope.errors import MethodError, ModelError
from camscope.evidence import BACKWARD, Evidence, Need
from camscope.methods import Method, default_method, list_methods
from camscope.models.adapter import Adapter, Observation
from camscope.models.batch import Batch
from camscope.targets import Targets

_MOSTLY_ERROR = 0.5
"""Derivatives that are off by more than this share of their size are not used."""

WHOLE = "model"
"""Stands in place of a layer's name for the maps of methods of the whole model."""


@dataclass(frozen=True)
class Passes:
    """Runs methods on what an adapter observes of one input.

    Attributes:
        adapter: runs the model.
        seed: the seed of random draws.
        notes: collects what a reader of the maps should know.
    """

    adapter: Adapter
    seed: int
    notes: Notes

    def plain(self, wanted: LayersOf) -> LayersOf:
        """The expressions that can share the plain forward: those without LibraGrad."""
        return {e: layers for e, layers in wanted.items() if not uses_libragrad(modifiers_of(e))}

    def run(
        self,
        seen: Observation,
        wanted: LayersOf,
        resolved: ResolvedTargets,
        gathered: Gathered,
        channels: StrongestChannels | None = None,
    ) -> None:
        """Run every method on the evidence it needs.

        Args:
            seen: the observation of one forward.
            wanted: the expressions, which have no wrapper or fusion, and their layers.
            resolved: what is explained.
            gathered: collects the maps.
            channels: the strongest channels to keep, of the targets as they were asked for; None keeps none.

        Raises:
            MethodError: if a method needs a linear head and there is none.
        """
        groups = same_gradients(wanted)
        if channels and all(around for around, _ in groups):
            groups.insert(0, ((), {}))
        for around, beside in groups:
            targets = resolved.by(around)
            # Evidence with a target axis comes for a few targets at a time, while a sweep of altered inputs serves all
            # targets at once. So methods that need backwards and those that do not are run apart.
            for each_target in (True, False):
                some = {
                    e: layers
                    for e, layers in beside.items()
                    if self._takes_backwards(e.method) == each_target
                }
                here = channels if channels and not around else None
                if here and self._takes_backwards(here) != each_target:
                    here = None
                self._layers(seen, some, beside, targets, gathered, here)
                self._model(seen, some, targets, gathered)

    def _takes_backwards(self, of: Method | StrongestChannels) -> bool:
        return bool(of.needs_from(self.adapter.offers) & BACKWARD)

    def run_libragrad(
        self, batch: Batch, wanted: LayersOf, resolved: ResolvedTargets, gathered: Gathered
    ) -> None:
        """Run the methods that get gradients by LibraGrad's rules; these take a forward of their own.

        Args:
            batch: the inputs.
            wanted: all expressions without wrapper or fusion; those that do not use LibraGrad are left out.
            resolved: what is explained.
            gathered: collects the maps.
        """
        some = {e: layers for e, layers in wanted.items() if uses_libragrad(modifiers_of(e))}
        if some:
            needs = needs_by_layer(some, self.adapter.offers)
            with self.adapter.observe(batch, needs, libragrad=True) as seen:
                self.run(seen, some, resolved, gathered)

    def _layers(
        self,
        seen: Observation,
        wanted: LayersOf,
        beside: LayersOf,
        targets: Targets,
        gathered: Gathered,
        channels: StrongestChannels | None,
    ) -> None:
        needs = needs_by_layer(wanted, self.adapter.offers, channels)
        if not needs:
            return
        for layer, _, evidence in seen.evidence(targets, needs, self.seed):
            here = wanted_at(layer, wanted)
            check_head([e.method for e in here], layer, evidence, self.adapter.offers)
            for e in here:
                if e.method.class_specific or not gathered.has(e, layer):
                    gathered.add(e, layer, made(e, evidence), evidence)
            if channels and any(layer == one.name for one in channels.layers):
                gathered.add_channels(layer, evidence, channels.count)
            self.notes.of_evidence(methods_at(layer, beside), layer, evidence)
            check_directions(layer, evidence, self.adapter.offers)

    def _model(self, seen: Observation, wanted: LayersOf, targets: Targets, gathered: Gathered) -> None:
        some = [e for e in wanted if e.method.scope == "model"]
        if not some:
            return
        needs = needs_of(some, self.adapter.offers)
        for _, evidence in seen.model_evidence(targets, needs, self.seed):
            for e in some:
                if e.method.class_specific or not gathered.has(e, WHOLE):
                    gathered.add(e, WHOLE, e.method(evidence), None)
            self.notes.of_model([e.method for e in some], evidence)


def check_head(methods: Sequence[Method], layer: str, evidence: Evidence, offers: frozenset[Need]) -> None:
    """Refuse a method that needs a linear head if there is none.

    Args:
        methods: that are wanted at the layer.
        layer: its name.
        evidence: of the layer.
        offers: the needs that the model can meet.

    Raises:
        MethodError: naming methods that do without.
    """
    if evidence.head is not None:
        return
    for m in methods:
        if Need.LINEAR_HEAD in m.needs:
            raise MethodError(
                f"{m.name} needs a head that is global average pooling and one linear layer directly on the "
                f"target layer; behind {layer!r} that is not so (checked in numbers). Use {_instead_of(m, offers)}."
            )


def check_directions(layer: str, evidence: Evidence, offers: frozenset[Need]) -> None:
    """Refuse derivatives that are mostly error, for most of the maps.

    Args:
        layer: its name.
        evidence: of the layer, of which the methods have asked.
        offers: the needs that the model can meet.

    Raises:
        ModelError: saying how large the error is.
    """
    for measured in evidence.directions.measured if evidence.directions else ():
        told = measured.errors[~np.isnan(measured.errors)]
        error = float(np.median(told)) if told.size else 0.0
        if error > _MOSTLY_ERROR:
            others = offers - {Need.DIRECTIONS, Need.LINEAR_HEAD}  # behind a linear head nothing is measured
            able = [m.name for m in list_methods() if m.needs <= others and m.class_specific]
            raise ModelError(
                f"At {layer!r} {measured.what} cannot be measured by re-runs of this model: their error is "
                f"{error:.0%} of their size, as where numbers are rounded to few bits or the layer hardly counts. "
                f"Choose another layer (deeper ones are measured better), or one of {', '.join(able)}."
            )


def _instead_of(m: Method, offers: frozenset[Need]) -> str:
    """Methods that the model can give, that are the same behind a linear head, and that do not need it."""
    facts = m.behind_linear_head
    same = [
        repr(other.base)
        for other in list_methods()
        if facts
        and other.behind_linear_head == facts
        and other.needs_from(offers) <= offers
        and Need.LINEAR_HEAD not in other.needs
    ]
    if same:
        return f"{' or '.join(same[:2])}: the same map wherever both exist"
    return f"{default_method(offers).base!r}, another method, which this model can give"
