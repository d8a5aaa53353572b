"""Chooses the layers that the methods look at: those that were named, or the automatic choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from array_api_compat import array_namespace

from camscope.composition import Expression, LayerFusion, fuses
from camscope.engine.notes import Notes
from camscope.errors import LayerError, either
from camscope.evidence import Need
from camscope.models.adapter import Adapter
from camscope.models.batch import Batch
from camscope.models.layer import OF_INPUT, Layer
from camscope.models.said_grid import SaidGrid
from camscope.targets import AllClasses, resolve

Layers: TypeAlias = "str | Any | Sequence[str | Any] | None"
"""Names or modules; None takes the automatic choice."""


@dataclass(frozen=True)
class Chosen:
    """The chosen layers.

    Attributes:
        single: the layers of methods that look at one layer at a time.
        fused: the layers that a layer fusion makes one map from, in the order they run.
        fpn_levels: the layers that are the FPN levels of a detector, in the order of the levels.
        backbone: the layers of its backbone that the pyramid is made from.
    """

    single: tuple[Layer, ...]
    fused: tuple[Layer, ...]
    fpn_levels: tuple[Layer, ...] = ()
    backbone: tuple[Layer, ...] = ()

    def at(self, find: Callable[[str], Layer]) -> Chosen:
        """The same layers for an input of another size, in which `find` finds a layer by its name."""
        return Chosen(
            tuple(find(layer.name) for layer in self.single), tuple(find(layer.name) for layer in self.fused)
        )

    def of(self, e: Expression) -> tuple[Layer, ...]:
        """The layers that an expression is wanted at; none for a method of the whole model."""
        places = {
            "one layer": self.single,
            "stages": self.fused,
            "fpn levels": self.fpn_levels,
            "backbone": self.backbone,
        }
        return places.get(_at(e), ())


def choose_layers(
    adapter: Adapter,
    batch: Batch,
    layers: Layers,
    wanted: Sequence[Expression],
    channels: int,
    said: SaidGrid | None = None,
) -> tuple[Chosen, dict[str, Any]]:
    """Choose the layers, and tell how they were chosen, for the provenance.

    Args:
        adapter: runs the model.
        batch: the inputs.
        layers: the layers as the user named them; None for the automatic choice.
        wanted: the simplified expressions.
        channels: how many of the strongest channels are kept; if any are, a layer is needed for them too.
        said: the grids of named layers, as the user says them.

    Raises:
        LayerError: if a layer does not exist, or there are not several layers for a fusion.
    """
    automatic = layers is None
    chosen, how = (
        _automatic(adapter, batch, wanted, channels) if automatic else _named(adapter, batch, layers, said)
    )
    _check_several(adapter, batch, chosen, wanted)
    every = dict.fromkeys([*chosen.single, *chosen.fused, *chosen.fpn_levels, *chosen.backbone])
    return chosen, {**how, "layers": {layer.name: layer.describe() for layer in every}}


def _automatic(
    adapter: Adapter, batch: Batch, wanted: Sequence[Expression], channels: int
) -> tuple[Chosen, dict[str, Any]]:
    """Choose the layers where none is named."""
    how: dict[str, Any] = {"chosen": "automatic"}
    at = [_at(e) for e in wanted]
    single: tuple[Layer, ...] = ()
    fused: tuple[Layer, ...] = ()
    fpn_levels: tuple[Layer, ...] = ()
    backbone: tuple[Layer, ...] = ()
    if channels or "one layer" in at:
        choice = adapter.choose(batch)
        single = (choice[0],)
        how |= {"choice": choice[0].name, "runners_up": [layer.name for layer in choice[1:]]}
    if "stages" in at:
        fused = tuple(adapter.stages(batch))
    if "fpn levels" in at:
        fpn_levels = tuple(adapter.fpn_levels(batch))
        how["fpn_levels"] = [layer.name for layer in fpn_levels]
    if "backbone" in at:
        backbone = tuple(adapter.backbone_stages(batch))
        how["backbone"] = [layer.name for layer in backbone]
    if fused:
        how["fused"] = [layer.name for layer in fused]
    return Chosen(single, fused, fpn_levels, backbone), how


def _named(
    adapter: Adapter, batch: Batch, layers: Layers, said: SaidGrid | None
) -> tuple[Chosen, dict[str, Any]]:
    """Find the layers that the user named; a fusion takes them in the order they run."""
    given = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    if not given:
        raise LayerError("The list of layers is empty. Leave it out to have one chosen.")
    found = [adapter.layer(batch, x, said) for x in given]
    single = {layer.name: layer for layer in found}.values()
    inputs = {
        x: layer.name
        for x, layer in zip(given, found, strict=True)
        if isinstance(x, str) and x.endswith(OF_INPUT)
    }
    order = {layer.name: place for place, layer in enumerate(adapter.layers(batch))}
    fused = sorted(single, key=lambda layer: order.get(layer.module, len(order)))
    how = {"chosen": "by name", **({"inputs": inputs} if inputs else {})}
    return Chosen(tuple(single), tuple(fused)), how


def _at(e: Expression) -> str:
    """The kind of layers that an expression looks at."""
    if e.method.scope == "model":
        return "the whole model"
    if isinstance(e, LayerFusion) and e.at != "stages":
        return e.at
    return "stages" if fuses(e) else "one layer"


def _check_several(adapter: Adapter, batch: Batch, chosen: Chosen, wanted: Sequence[Expression]) -> None:
    """Refuse a fusion of fewer than two layers."""
    fusions = [e.name for e in wanted if fuses(e)]
    if not fusions or len(chosen.fused) > 1:
        return
    stages = [layer.name for layer in adapter.stages(batch)]
    named = either(f"layers={stages}", f"--layer {','.join(stages)}")
    advice = named if len(stages) > 1 else "this model has one stage, so name layers inside it"
    raise LayerError(
        f"{fusions[0]} needs the maps of several layers, and there is {'one' if chosen.fused else 'none'}. Name some: "
        f"{advice}."
    )


def check_token_layers(
    adapter: Adapter, batch: Batch, layers: Layers, wanted: Sequence[Expression], chosen: Chosen
) -> None:
    """Refuse a named layer from which the score takes only one token: a class token, or the last state.

    Args:
        adapter: runs the model.
        batch: the inputs.
        layers: the layers as the user named them.
        wanted: the simplified expressions.
        chosen: the chosen layers.

    Raises:
        LayerError: if there is such a layer; the message names one that works.
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
    """Refuse a layer whose map is flat for every class. Only layers with flat maps are looked into.

    Args:
        adapter: runs the model.
        batch: the inputs.
        layers: the layers as the user named them.
        chosen: the chosen layers.
        flat: the names of the layers at which maps came out flat.

    Raises:
        LayerError: if there is such a layer; the message names one that works.
    """
    # an FPN level is flat for every detection of another level, and still gives a map for its own
    fpn_levels = {layer.name for layer in adapter.fpn_levels(batch)}
    for layer in dict.fromkeys([*chosen.single, *chosen.fused]):
        if layer.name in flat - fpn_levels and not all(adapter.reaches(batch, [layer])):
            better = adapter.choose(batch)[0]
            raise LayerError(
                f"The positions of {layer.name!r} do not reach the score: its gradient there is exactly zero for "
                f"every class (behind it, only a class token is used, say). Use {better.name!r}"
                f"{' or leave the layer out' if layers is not None else ''}."
            )


def note_blank_layers(
    adapter: Adapter, batch: Batch, chosen: Chosen, flat: frozenset[str], notes: Notes
) -> None:
    """Note which layers put out the same at every position, for every image, so that their maps cannot but be flat.

    Args:
        adapter: runs the model.
        batch: the inputs.
        chosen: the chosen layers.
        flat: the names of the layers at which maps came out flat. Only these are looked into.
        notes: collects the notes.
    """
    layers = [layer for layer in dict.fromkeys([*chosen.single, *chosen.fused]) if layer.name in flat]
    needs = dict.fromkeys(layers, frozenset({Need.ACTIVATIONS}))
    if not layers:
        return
    with adapter.observe(batch, needs) as seen:
        for name, _, evidence in seen.evidence(resolve(AllClasses(), seen.outputs), needs, 0):
            A = evidence.activations
            xp = array_namespace(A)
            low, high = (end(A, axis=tuple(range(2, A.ndim))) for end in (xp.min, xp.max))
            if bool(xp.all(low == high)):
                what = "the same at every position" if bool(xp.any(high != 0)) else "zero everywhere"
                notes.add(
                    f"What {name} puts out is {what}, so there is nothing that a map of it could show. The input is "
                    "blank, or the weights let nothing of it through."
                )
