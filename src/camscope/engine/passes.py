"""What comes of one input: every method on the evidence it needs, from a forward and the fewest backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from camscope.composition import modifiers_of
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
from camscope.errors import MethodError
from camscope.evidence import BACKWARD, Evidence, Need
from camscope.methods import Method, default_method, list_methods
from camscope.models.adapter import Adapter, Observation
from camscope.models.batch import Batch
from camscope.targets import Targets

WHOLE = "model"
"""Stands for the layer of a method that is about the model as a whole."""


@dataclass(frozen=True)
class Passes:
    """Runs methods on what an adapter observes of one input.

    Attributes:
        adapter: the model.
        seed: of what methods draw at random.
        notes: takes what a reader of the maps should know.
    """

    adapter: Adapter
    seed: int
    notes: Notes

    def plain(self, wanted: LayersOf) -> LayersOf:
        """Those that share the forward of the input itself."""
        return {e: layers for e, layers in wanted.items() if not uses_libragrad(modifiers_of(e))}

    def run(
        self,
        seen: Observation,
        wanted: LayersOf,
        resolved: ResolvedTargets,
        gathered: Gathered,
        channels: StrongestChannels | None = None,
    ) -> None:
        """Every method on the evidence it needs.

        Args:
            seen: one forward.
            wanted: expressions without wrappers, and their layers.
            resolved: what is explained.
            gathered: takes the maps.
            channels: also wanted, of the targets as they were asked for.
        """
        groups = same_gradients(wanted)
        if channels and all(around for around, _ in groups):
            groups.insert(0, ((), {}))
        for around, beside in groups:
            targets = resolved.by(around)
            # what has a target axis comes a few targets at a time; a sweep of altered inputs serves all at once
            for each_target in (True, False):
                some = {
                    e: layers
                    for e, layers in beside.items()
                    if bool(e.method.needs & BACKWARD) == each_target
                }
                self._layers(
                    seen, some, beside, targets, gathered, channels if each_target and not around else None
                )
                self._model(seen, some, targets, gathered)

    def run_libragrad(
        self, batch: Batch, wanted: LayersOf, resolved: ResolvedTargets, gathered: Gathered
    ) -> None:
        """The methods whose gradients flow by LibraGrad's rules, which take a forward of their own.

        Args:
            batch: the input.
            wanted: all expressions without wrappers; only those it concerns are run.
            resolved: what is explained.
            gathered: takes the maps.
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
            _check_head([e.method for e in here], layer, evidence, self.adapter.offers)
            for e in here:
                if e.method.class_specific or not gathered.has(e, layer):
                    gathered.add(e, layer, e.method(evidence), evidence)
            if channels and any(layer == one.name for one in channels.layers):
                gathered.add_channels(layer, evidence, channels.count)
            self.notes.of_evidence(methods_at(layer, beside), layer, evidence)

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


def _check_head(methods: Sequence[Method], layer: str, evidence: Evidence, offers: frozenset[Need]) -> None:
    """Refuse a method that needs a linear head where there is none."""
    if evidence.head is not None:
        return
    for m in methods:
        if Need.LINEAR_HEAD in m.needs:
            raise MethodError(
                f"{m.name} needs a head that is global average pooling and one linear layer directly on the "
                f"target layer; behind {layer!r} that is not so (checked in numbers). Use {_instead_of(m, offers)}."
            )


def _instead_of(m: Method, offers: frozenset[Need]) -> str:
    """Methods that the model can give, that are the same behind a linear head, and that need none."""
    facts = m.behind_linear_head
    same = [
        repr(other.base)
        for other in list_methods()
        if facts
        and other.behind_linear_head == facts
        and other.needs <= offers
        and Need.LINEAR_HEAD not in other.needs
    ]
    if same:
        return f"{' or '.join(same[:2])}: the same map wherever both exist"
    return f"{default_method(offers).base!r}, another method, which this model can give"
