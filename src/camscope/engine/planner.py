"""The planner: it gathers what all wanted methods need together in the fewest passes, and hands it out.

All plain methods share one forward, and those that explain the same targets share the backwards. Wrappers do the same
on altered copies of the input, and layer fusions combine the maps that result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from array_api_compat import array_namespace
from jaxtyping import Float

from camscope.arrays import Array, detached, is_flat
from camscope.composition import AtFpnLevel, Expression, LayerFusion, Setting
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
from camscope.models.adapter import Adapter, Observation
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.outputs import Outputs
from camscope.targets import Targets


@dataclass(frozen=True, eq=False)
class BatchMaps:
    """The maps of one batch, and what was found out on the way.

    Attributes:
        resolved: the targets, and the outputs without a graph.
        maps: the maps by expression and layer.
        gathered: holds the strongest channels, and which maps are zero because the gradient is.
        scores: the scores of the targets.
        notes: what the adapter wants a reader of the maps to know.
        flat: the names of the layers at which all maps of a class-specific method came out flat.
        covered: the share of the layers' grids that the input takes along each axis; None if nothing is padded.
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
        adapter: runs the model.
        setting: what wrappers need to know.
        notes: collects what a reader of the maps should know.
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
        observed: Observation | None = None,
    ) -> BatchMaps:
        """Explain a batch.

        Args:
            batch: the inputs.
            requests: the simplified expressions, and the layers each is wanted at.
            ask: resolves the targets in the model's outputs.
            channels: how many of the strongest channels to keep.
            channels_of: the layers whose channels are kept.
            observed: the forward of this batch, if it was made before; the methods must need no other.

        Raises:
            InputError, MethodError, TargetError: if the model cannot give what is asked for.
        """
        direct, wrapped = sort_requests(requests)
        levels = (r.layers for r in requests if isinstance(r.expression, AtFpnLevel))
        gathered = Gathered(frozenset(layer.name for some in levels for layer in some))
        plain = self._passes.plain(direct)
        strongest = StrongestChannels(channels, channels_of) if channels else None
        needs = needs_by_layer(plain, self._adapter.offers, strongest)
        forward = self._adapter.observe(batch, needs) if observed is None else nullcontext(observed)
        with forward as seen:
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
        """Explain an altered copy of the batch, with the targets that were resolved for the original."""
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
        """Run what takes passes of its own (LibraGrad, altered copies); all maps, with those gathered before."""
        self._passes.run_libragrad(batch, direct, resolved, gathered)
        maps = gathered.maps()
        for requests in wrapped:
            maps |= self._copies.run(batch, requests, resolved)
        self._flat |= _flat(maps)
        return maps


def maps_of(
    expression: Expression, maps: LayerMaps, layers: Sequence[Layer], resolved: ResolvedTargets
) -> dict[str, Array]:
    """An expression's maps by layer; a layer fusion has one map, under the names of all its layers.

    Args:
        expression: a simplified expression.
        maps: the maps of the expressions inside of layer fusions.
        layers: the layers that the expression is wanted at.
        resolved: what is explained.
    """
    if isinstance(expression, LayerFusion):
        inner = maps_of(expression.inner, maps, layers, resolved)
        one = expression.fused([inner[layer.name] for layer in layers], resolved.fpn_levels)
        return {joined(layers): one}
    found = maps[expression]
    wanted = {layer.name for layer in layers}
    # a map of the whole model, or of a fusion inside a wrapper, has a name of its own
    return {name: m for name, m in found.items() if name in wanted} or found


def joined(layers: Sequence[Layer]) -> str:
    """The name of the one map of several layers: all their names."""
    return ", ".join(dict.fromkeys(layer.name for layer in layers))


def _flat(maps: LayerMaps) -> frozenset[str]:
    """The names of the layers at which all maps of a class-specific method are flat."""

    def are_flat(m: Array) -> bool:
        xp = array_namespace(m)
        axes = tuple(range(2, m.ndim))
        return bool(xp.all(is_flat(xp.min(m, axis=axes), xp.max(m, axis=axes))))

    def all_flat(m: Array) -> bool:
        return are_flat(m[:1, :1]) and are_flat(m)  # of thousands of maps mostly the first one tells

    by_class = (found for e, found in maps.items() if e.method.scope == "layer" and e.class_specific)
    return frozenset(layer for found in by_class for layer, m in found.items() if all_flat(m))
