"""The planner: what the wanted methods need together is gathered in the fewest passes, and handed out.

At one input all plain methods share a forward, methods that explain the same targets share the backwards. Wrappers
run the same on altered copies of the input; fusions combine what came out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import Array, detached, is_flat
from camscope.composition import Expression, LayerFusion, Setting
from camscope.engine.copies import AlteredCopies
from camscope.engine.gathering import Gathered
from camscope.engine.notes import Notes
from camscope.engine.passes import Passes
from camscope.engine.requests import (
    LayerMaps,
    LayersOf,
    Request,
    ResolvedTargets,
    StrongestChannels,
    needs_by_layer,
    sort_requests,
)
from camscope.models.adapter import Adapter
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.outputs import Outputs
from camscope.targets import Targets


@dataclass(frozen=True, eq=False)
class BatchMaps:
    """What came of one batch.

    Attributes:
        resolved: the targets, and the outputs without a graph.
        maps: by expression and layer.
        gathered: with what else was gathered on the way.
        scores: of the targets.
        notes: what a reader should know about how the model is read.
        flat: layers at which the maps of a method that knows classes came out flat, all of one pass.
        covered: how much of the layers' grids the input takes along each axis; None for all.
    """

    resolved: ResolvedTargets
    maps: Mapping[Expression, Mapping[str, Array]]
    gathered: Gathered
    scores: Float[Array, "batch target"]
    notes: tuple[str, ...]
    flat: frozenset[str]
    covered: tuple[float, ...] | None


class Planner:
    """Runs expressions on inputs.

    Args:
        adapter: the model.
        setting: what wrappers need to know.
        notes: takes what a reader of the maps should know.
    """

    def __init__(self, adapter: Adapter, setting: Setting, notes: Notes) -> None:
        self._adapter = adapter
        self._passes = Passes(adapter, setting.seed, notes)
        self._copies = AlteredCopies(adapter, setting, notes, self._run_copy)
        self._flat: set[str] = set()

    def run(
        self,
        batch: Batch,
        requests: Sequence[Request],
        ask: Callable[[Outputs], Targets],
        channels: int = 0,
        channels_of: Sequence[Layer] = (),
    ) -> BatchMaps:
        """Explain a batch.

        Args:
            batch: the inputs.
            requests: simplified expressions, and the layers each is wanted at.
            ask: what is explained, given the model's outputs.
            channels: how many of the strongest channels to keep.
            channels_of: of these layers.
        """
        direct, wrapped = sort_requests(requests)
        gathered = Gathered()
        plain = self._passes.plain(direct)
        strongest = StrongestChannels(channels, channels_of) if channels else None
        with self._adapter.observe(batch, needs_by_layer(plain, self._adapter.offers, strongest)) as seen:
            targets, predictions = ask(seen.outputs), seen.outputs.predictions
            resolved = ResolvedTargets(targets, seen.outputs, targets.fpn_levels(seen.outputs))
            self._passes.run(seen, plain, resolved, gathered, strongest)
            scores = detached(targets.scores(seen.outputs))
            notes = tuple(seen.notes)
        resolved = dataclasses.replace(resolved, outputs=resolved.outputs.detached())
        maps = self._rest(batch, direct, wrapped, resolved, gathered)
        return BatchMaps(
            resolved=resolved,
            maps={r.expression: maps_of(r.expression, maps, r.layers, resolved) for r in requests},
            gathered=gathered,
            scores=scores,
            notes=notes,
            flat=frozenset(self._flat),
            covered=None if predictions is None else predictions.covered,
        )

    def _run_copy(self, batch: Batch, requests: Sequence[Request], resolved: ResolvedTargets) -> LayerMaps:
        """The same for an altered copy, whose targets are those of the original."""
        direct, wrapped = sort_requests(requests)
        gathered = Gathered()
        plain = self._passes.plain(direct)
        if plain:
            with self._adapter.observe(batch, needs_by_layer(plain, self._adapter.offers)) as seen:
                self._passes.run(seen, plain, resolved, gathered)
        maps = self._rest(batch, direct, wrapped, resolved, gathered)
        return {r.expression: maps_of(r.expression, maps, r.layers, resolved) for r in requests}

    def _rest(
        self,
        batch: Batch,
        direct: LayersOf,
        wrapped: Sequence[Sequence[Request]],
        resolved: ResolvedTargets,
        gathered: Gathered,
    ) -> LayerMaps:
        """What takes passes of its own: other backwards, and altered copies."""
        self._passes.run_libragrad(batch, direct, resolved, gathered)
        maps = gathered.joined()
        for requests in wrapped:
            maps |= self._copies.run(batch, requests, resolved)
        self._flat |= _flat(maps)
        return maps


def maps_of(
    expression: Expression, maps: LayerMaps, layers: Sequence[Layer], resolved: ResolvedTargets
) -> dict[str, Array]:
    """An expression's maps at the layers it was wanted at, one of all where it joins them.

    Args:
        expression: simplified.
        maps: of what is inside of fusions.
        layers: that it was wanted at.
        resolved: what is explained.
    """
    if isinstance(expression, LayerFusion):
        inner = maps_of(expression.inner, maps, layers, resolved)
        one = expression.fused([inner[layer.name] for layer in layers], resolved.fpn_levels)
        return {", ".join(dict.fromkeys(layer.name for layer in layers)): one}
    found = maps[expression]
    wanted = {layer.name for layer in layers}
    # a map of the whole model, or of a fusion inside a wrapper, has a name of its own
    return {name: m for name, m in found.items() if name in wanted} or found


def _flat(maps: LayerMaps) -> frozenset[str]:
    """The layers at which all maps of a method that knows classes are flat."""

    def all_flat(m: Array) -> bool:
        xp = array_namespace(m)
        axes = tuple(range(2, m.ndim))
        return bool(xp.all(is_flat(xp.min(m, axis=axes), xp.max(m, axis=axes))))

    by_class = (found for e, found in maps.items() if e.method.scope == "layer" and e.class_specific)
    return frozenset(layer for found in by_class for layer, m in found.items() if all_flat(m))
