"""At which layers the methods look: those that were named, or the automatic choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from camscope.composition import Expression, LayerFusion, fuses
from camscope.errors import LayerError
from camscope.models.adapter import Adapter
from camscope.models.batch import Batch
from camscope.models.layer import Layer

Layers: TypeAlias = "str | Any | Sequence[str | Any] | None"
"""Names or modules; None takes the automatic choice."""


@dataclass(frozen=True)
class Chosen:
    """The layers of methods that take one, of fusions, in the order they run, and the levels of a detector."""

    single: tuple[Layer, ...]
    fused: tuple[Layer, ...]
    fpn_levels: tuple[Layer, ...] = ()

    def at(self, find: Callable[[str], Layer]) -> Chosen:
        """The same layers for an input of another size."""
        return Chosen(
            tuple(find(layer.name) for layer in self.single), tuple(find(layer.name) for layer in self.fused)
        )

    def of(self, e: Expression) -> tuple[Layer, ...]:
        """Where an expression is wanted; nowhere if it is of the whole model."""
        places = {"one layer": self.single, "stages": self.fused, "fpn levels": self.fpn_levels}
        return places.get(_at(e), ())


def choose_layers(
    adapter: Adapter, batch: Batch, layers: Layers, wanted: Sequence[Expression], channels: int
) -> tuple[Chosen, dict[str, Any]]:
    """Where the methods are wanted, and how that came about, for the provenance.

    Args:
        adapter: the model.
        batch: the inputs.
        layers: as the user named them; None for the automatic choice.
        wanted: simplified expressions.
        channels: how many of the strongest channels are kept, for which a layer is needed too.

    Raises:
        LayerError: if a layer does not exist, or a fusion has one only.
    """
    automatic = layers is None
    chosen, how = (
        _automatic(adapter, batch, wanted, channels) if automatic else _named(adapter, batch, layers)
    )
    _check_several(adapter, batch, chosen, wanted)
    every = dict.fromkeys([*chosen.single, *chosen.fused, *chosen.fpn_levels])
    return chosen, {**how, "layers": {layer.name: layer.describe() for layer in every}}


def _automatic(
    adapter: Adapter, batch: Batch, wanted: Sequence[Expression], channels: int
) -> tuple[Chosen, dict[str, Any]]:
    """The layers that the expressions look at where none is named."""
    how: dict[str, Any] = {"chosen": "automatic"}
    at = [_at(e) for e in wanted]
    single: tuple[Layer, ...] = ()
    fused: tuple[Layer, ...] = ()
    fpn_levels: tuple[Layer, ...] = ()
    if channels or "one layer" in at:
        choice = adapter.choose(batch)
        single = (choice[0],)
        how |= {"choice": choice[0].name, "runners_up": [layer.name for layer in choice[1:]]}
    if "stages" in at:
        fused = tuple(adapter.stages(batch))
    if "fpn levels" in at:
        fpn_levels = tuple(adapter.fpn_levels(batch))
        how["levels"] = [layer.name for layer in fpn_levels]
    if fused:
        how["fused"] = [layer.name for layer in fused]
    return Chosen(single, fused, fpn_levels), how


def _named(adapter: Adapter, batch: Batch, layers: Layers) -> tuple[Chosen, dict[str, Any]]:
    """The layers that the user names; a fusion takes them in the order they run."""
    given = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    if not given:
        raise LayerError("The list of layers is empty. Leave it out to have one chosen.")
    single = {layer.name: layer for layer in (adapter.layer(batch, x) for x in given)}.values()
    order = {layer.name: place for place, layer in enumerate(adapter.layers(batch))}
    fused = sorted(single, key=lambda layer: order[layer.module])
    return Chosen(tuple(single), tuple(fused)), {"chosen": "by name"}


def _at(e: Expression) -> str:
    """At which layers an expression looks."""
    if e.method.scope == "model":
        return "the whole model"
    if isinstance(e, LayerFusion) and e.at == "fpn levels":
        return "fpn levels"
    return "stages" if fuses(e) else "one layer"


def _check_several(adapter: Adapter, batch: Batch, chosen: Chosen, wanted: Sequence[Expression]) -> None:
    """Refuse a fusion of fewer than two layers."""
    fusions = [e.name for e in wanted if fuses(e)]
    if not fusions or len(chosen.fused) > 1:
        return
    stages = [layer.name for layer in adapter.stages(batch)]
    advice = f"layers={stages}" if len(stages) > 1 else "this model has one stage, so name layers inside it"
    raise LayerError(
        f"{fusions[0]} needs the maps of several layers, and there is {'one' if chosen.fused else 'none'}. Name some: "
        f"{advice}."
    )


def check_token_layers(
    adapter: Adapter, batch: Batch, layers: Layers, wanted: Sequence[Expression], chosen: Chosen
) -> None:
    """Refuse a layer that was named, of which the score takes a class token only, or a last state.

    Args:
        adapter: the model.
        batch: the inputs.
        layers: as the user named them.
        wanted: simplified expressions.
        chosen: which layers these are.

    Raises:
        LayerError: naming one that would do.
    """
    by_class = any(e.method.scope == "layer" and e.method.class_specific for e in wanted)
    named = list(dict.fromkeys([*chosen.single, *chosen.fused])) if layers is not None else []
    for layer, reaches in zip(named, adapter.reaches(batch, named), strict=True):
        if by_class and not reaches:
            raise LayerError(
                f"What {layer.name!r} puts out for each token does not reach the score: behind it only the first "
                f"or the last token is used (a class token, the last state). Use "
                f"{adapter.choose(batch)[0].name!r} or leave the layer out."
            )


def check_reach(adapter: Adapter, batch: Batch, layers: Layers, chosen: Chosen, flat: frozenset[str]) -> None:
    """Refuse a layer that no class could ever give a map; only looked into where maps came out flat.

    Args:
        adapter: the model.
        batch: the inputs.
        layers: as the user named them.
        chosen: which layers these are.
        flat: the names of those at which maps came out flat.

    Raises:
        LayerError: naming one that would do.
    """
    # nothing reaches what a detector found at one level from another
    fpn_levels = {layer.name for layer in adapter.fpn_levels(batch)}
    for layer in dict.fromkeys([*chosen.single, *chosen.fused]):
        if layer.name in flat - fpn_levels and not all(adapter.reaches(batch, [layer])):
            better = adapter.choose(batch)[0]
            raise LayerError(
                f"The positions of {layer.name!r} do not reach the score: its gradient there is exactly zero for "
                f"every class (behind it, only a class token is used, say). Use {better.name!r}"
                f"{' or leave the layer out' if layers is not None else ''}."
            )
