"""What is wanted of one batch: expressions at layers, sorted by the passes they can share, and resolved targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Int

from camscope.arrays import Array
from camscope.composition import Expression, LayerFusion, Modifier, Wrapper, modifiers_of
from camscope.evidence import Need, asked
from camscope.methods import Method
from camscope.models.layer import Layer
from camscope.outputs import Outputs
from camscope.targets import Targets

LayerMaps: TypeAlias = "dict[Expression, dict[str, Array]]"
"""Maps by expression, then by the name of the layer."""

LayersOf: TypeAlias = "Mapping[Expression, Sequence[Layer]]"
"""The layers that each expression is wanted at."""


@dataclass(frozen=True)
class Request:
    """A simplified expression, and the layers that it is wanted at."""

    expression: Expression
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class StrongestChannels:
    """A wish to keep the channels that contribute most to the targets as they were asked for.

    Attributes:
        count: how many channels to keep for each target.
        layers: the layers whose channels are kept.
    """

    count: int
    layers: Sequence[Layer]

    needs: ClassVar[frozenset[Need]] = frozenset({Need.ACTIVATIONS, Need.GRADIENTS})
    instead: ClassVar[frozenset[Need]] = frozenset({Need.ACTIVATIONS, Need.DIRECTIONS})

    @classmethod
    def needs_from(cls, offers: frozenset[Need]) -> frozenset[Need]:
        """The evidence that tells which channels these are, of what a model offers."""
        return asked(cls.needs, cls.instead, offers)


@dataclass(frozen=True, eq=False)
class ResolvedTargets:
    """What is explained.

    Attributes:
        targets: the targets of the batch.
        outputs: the model's outputs for the clean batch, from which similar classes are chosen.
        fpn_levels: the FPN level that each target of a detector comes from; None if there is no pyramid.
    """

    targets: Targets
    outputs: Outputs
    fpn_levels: Int[np.ndarray, "batch target"] | None = None
    _modified: dict[tuple[Modifier, ...], Targets] = field(default_factory=dict, repr=False)

    def by(self, around: tuple[Modifier, ...]) -> Targets:
        """The targets as the modifiers around a method change them."""
        if around not in self._modified:
            targets = self.targets
            for modifier in around:
                targets = modifier.retargeted(targets, self.outputs)
            self._modified[around] = targets
        return self._modified[around]

    def images(self, index: Int[np.ndarray, " image"]) -> ResolvedTargets:
        """What is explained in copies of these images; an image may be named several times."""
        xp = array_namespace(self.outputs.logits)
        logits = xp.take(self.outputs.logits, xp.asarray(index, device=device(self.outputs.logits)), axis=0)
        return ResolvedTargets(
            self.targets.images(index),
            Outputs(logits, self.outputs.task),
            None if self.fpn_levels is None else self.fpn_levels[index],
            {around: targets.images(index) for around, targets in self._modified.items()},
        )


def sort_requests(requests: Iterable[Request]) -> tuple[dict[Expression, list[Layer]], list[list[Request]]]:
    """Sort requests into those for the input itself and those for altered copies of it, the latter by wrapper.

    A layer fusion stands for the expression inside it, whose maps it fuses later.
    """
    direct: dict[Expression, list[Layer]] = {}
    wrapped: dict[Any, dict[Wrapper, list[Layer]]] = {}
    for request in requests:
        inside = request.expression
        while isinstance(inside, LayerFusion):
            inside = inside.inner
        if isinstance(inside, Wrapper):
            layers = wrapped.setdefault(inside.kind, {}).setdefault(inside, [])
        else:
            layers = direct.setdefault(inside, [])
        layers += [layer for layer in request.layers if layer not in layers]
    return direct, [[Request(e, tuple(layers)) for e, layers in group.items()] for group in wrapped.values()]


def same_gradients(wanted: LayersOf) -> list[tuple[tuple[Modifier, ...], LayersOf]]:
    """Group expressions that explain the same targets by the same gradients, each group with its modifiers."""
    groups: dict[Any, tuple[tuple[Modifier, ...], dict[Expression, Sequence[Layer]]]] = {}
    for e, layers in wanted.items():
        around = tuple(one for one in modifiers_of(e) if not one.reads_maps)
        groups.setdefault(gradients_kind(around), (around, {}))[1][e] = layers
    return list(groups.values())


def gradients_kind(around: Iterable[Modifier]) -> tuple[Any, ...]:
    """The same for modifiers that change targets and gradients in the same way, whatever method they are around."""
    return tuple(modifier.kind for modifier in around)


def uses_libragrad(around: Iterable[Modifier]) -> bool:
    """Whether one of the modifiers asks for gradients by LibraGrad's rules."""
    return any(modifier.libragrad for modifier in around)


def needs_of(wanted: Iterable[Expression], offers: frozenset[Need]) -> frozenset[Need]:
    """The evidence that the methods need, and that which they use if the model offers it."""
    methods = [e.method for e in wanted]
    return frozenset[Need]().union(*(m.needs_from(offers) | (m.uses & offers) for m in methods))


def needs_by_layer(
    wanted: LayersOf, offers: frozenset[Need], channels: StrongestChannels | None = None
) -> dict[Layer, frozenset[Need]]:
    """The needs at each layer.

    Args:
        wanted: the expressions and their layers; methods of the whole model are left out.
        offers: the needs that the model can meet.
        channels: the strongest channels that are also kept; None keeps none.
    """
    needs: dict[Layer, frozenset[Need]] = {}
    for e, layers in wanted.items():
        if e.method.scope == "layer":
            for layer in layers:
                needs[layer] = needs.get(layer, frozenset()) | needs_of([e], offers)
    if channels:
        for layer in channels.layers:
            needs[layer] = needs.get(layer, frozenset()) | channels.needs_from(offers)
    return needs


def layers_of(wanted: LayersOf) -> list[Layer]:
    """All layers that the expressions look at, each once; methods of the whole model look at none."""
    of_layers = (layers for e, layers in wanted.items() if e.method.scope == "layer")
    return list(dict.fromkeys(layer for layers in of_layers for layer in layers))


def wanted_at(layer: str, wanted: LayersOf) -> list[Expression]:
    """The expressions that are wanted at the layer of this name."""
    return [e for e, layers in wanted.items() if any(one.name == layer for one in layers)]


def methods_at(layer: str, wanted: LayersOf) -> list[Method]:
    """The methods whose own maps are wanted at the layer of this name, and not something that is made of them."""
    here = wanted_at(layer, wanted)
    return [e.method for e in here if not any(one.reads_maps for one in modifiers_of(e))]
