"""What is wanted of one input: expressions and layers, sorted by what they can share; and what is explained there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Int

from camscope.arrays import Array
from camscope.composition import Expression, LayerFusion, Modifier, Wrapper, modifiers_of
from camscope.evidence import Need
from camscope.methods import Method
from camscope.models.layer import Layer
from camscope.outputs import Outputs
from camscope.targets import Targets

LayerMaps: TypeAlias = "dict[Expression, dict[str, Array]]"
"""Maps by expression and by the name of the layer."""

LayersOf: TypeAlias = "Mapping[Expression, Sequence[Layer]]"
"""The layers that each expression is wanted at."""


@dataclass(frozen=True)
class Request:
    """An expression, simplified, and the layers that it is wanted at."""

    expression: Expression
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class StrongestChannels:
    """Also wanted: the channels that contribute most to the targets as they were asked for.

    Attributes:
        count: how many.
        layers: of these layers.
    """

    count: int
    layers: Sequence[Layer]

    needs: ClassVar[frozenset[Need]] = frozenset({Need.ACTIVATIONS, Need.GRADIENTS})
    """What it takes to tell which they are."""


@dataclass(frozen=True, eq=False)
class ResolvedTargets:
    """What is explained.

    Attributes:
        targets: of the batch.
        outputs: of the clean batch, by which similar classes are chosen.
        fpn_levels: the level of a detector's feature pyramid that each target comes from; None if there is none.
    """

    targets: Targets
    outputs: Outputs
    fpn_levels: Int[np.ndarray, "batch target"] | None = None
    _modified: dict[tuple[Modifier, ...], Targets] = field(default_factory=dict, repr=False)

    def by(self, around: tuple[Modifier, ...]) -> Targets:
        """The targets as the compositions around a method change them."""
        if around not in self._modified:
            targets = self.targets
            for modifier in around:
                targets = modifier.retargeted(targets, self.outputs)
            self._modified[around] = targets
        return self._modified[around]

    def images(self, index: Int[np.ndarray, image]) -> ResolvedTargets:
        """The same for copies of these images."""
        xp = array_namespace(self.outputs.logits)
        logits = xp.take(self.outputs.logits, xp.asarray(index, device=device(self.outputs.logits)), axis=0)
        return ResolvedTargets(
            self.targets.images(index),
            Outputs(logits, self.outputs.task),
            None if self.fpn_levels is None else self.fpn_levels[index],
            {around: targets.images(index) for around, targets in self._modified.items()},
        )


def sort_requests(requests: Iterable[Request]) -> tuple[dict[Expression, list[Layer]], list[list[Request]]]:
    """What can be had from an input itself, and what takes altered copies of it, by wrapper. Fusions are opened."""
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
    """Expressions that explain the same targets by the same gradients, and what is around their methods."""
    groups: dict[Any, tuple[tuple[Modifier, ...], dict[Expression, Sequence[Layer]]]] = {}
    for e, layers in wanted.items():
        around = modifiers_of(e)
        groups.setdefault(gradients_kind(around), (around, {}))[1][e] = layers
    return list(groups.values())


def gradients_kind(around: Iterable[Modifier]) -> tuple[Any, ...]:
    """What tells apart whose targets or gradients are changed, whatever their methods are."""
    return tuple(modifier.kind for modifier in around)


def uses_libragrad(around: Iterable[Modifier]) -> bool:
    """Whether gradients flow by LibraGrad's rules."""
    return any(modifier.libragrad for modifier in around)


def needs_of(wanted: Iterable[Expression], offers: frozenset[Need]) -> frozenset[Need]:
    """What the methods need, and what they use where the model offers it."""
    methods = [e.method for e in wanted]
    return frozenset[Need]().union(*(m.needs | (m.uses & offers) for m in methods))


def needs_by_layer(
    wanted: LayersOf, offers: frozenset[Need], channels: StrongestChannels | None = None
) -> dict[Layer, frozenset[Need]]:
    """What the methods of layers need at each of them."""
    needs: dict[Layer, frozenset[Need]] = {}
    for e, layers in wanted.items():
        if e.method.scope == "layer":
            for layer in layers:
                needs[layer] = needs.get(layer, frozenset()) | needs_of([e], offers)
    if channels:
        for layer in channels.layers:
            needs[layer] = needs.get(layer, frozenset()) | channels.needs
    return needs


def layers_of(wanted: LayersOf) -> list[Layer]:
    """All layers wanted by methods of layers, each once."""
    of_layers = (layers for e, layers in wanted.items() if e.method.scope == "layer")
    return list(dict.fromkeys(layer for layers in of_layers for layer in layers))


def wanted_at(layer: str, wanted: LayersOf) -> list[Expression]:
    """The expressions that are wanted at a layer."""
    return [e for e, layers in wanted.items() if any(one.name == layer for one in layers)]


def methods_at(layer: str, wanted: LayersOf) -> list[Method]:
    """Their methods."""
    return [e.method for e in wanted_at(layer, wanted)]
