"""The planner: what the wanted methods need together is gathered in the fewest passes, and handed out.

At one input all plain methods share a forward, methods that explain the same targets share the backwards. Wrappers
run the same on altered copies of the input; fusions combine what came out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.composition import (
    AtLevel,
    Balanced,
    Composition,
    Copy,
    Expression,
    Fuse,
    Joined,
    Modifier,
    MultiScale,
    NoisyFullGradients,
    NoisyGradients,
    Setting,
    Size,
    Smooth,
    Wrapper,
    at_level,
    copies,
    fused,
    modifiers,
    over_sizes,
    summand,
    turns,
)
from camscope.errors import CamscopeError, InputError, MethodError
from camscope.evidence import BACKWARD, Evidence, Need
from camscope.gathering import Gathered
from camscope.methods import Method
from camscope.models.adapter import Adapter, Observation
from camscope.models.batch import Batch
from camscope.models.layers import Layer
from camscope.notes import Notes
from camscope.scaling import is_flat
from camscope.targets import Outputs, Targets, detached

WHOLE = "model"
"""Stands for the layer of a method that is about the model as a whole."""

_TOGETHER = 16
"""Images run at a time when copies of the batch are."""

_TARGETS_TOGETHER = 4
"""Targets whose gradients of the whole model are summed over copies at a time."""

_CHANNELS = frozenset({Need.ACTIVATIONS, Need.GRADIENTS})
"""What it takes to tell which channels contribute most."""

Maps: TypeAlias = "dict[Expression, dict[str, Array]]"
Request: TypeAlias = "tuple[Expression, tuple[Layer, ...]]"


@dataclass(frozen=True)
class Tap:
    """Also wanted: the channels that contribute most to the targets as they were asked for.

    Attributes:
        count: how many.
        layers: of these layers.
    """

    count: int
    layers: Sequence[Layer]


@dataclass(frozen=True, eq=False)
class Asked:
    """What is explained: the targets, the clean outputs that similar classes are chosen by, and the targets' levels."""

    targets: Targets
    outputs: Outputs
    levels: Int[np.ndarray, "batch target"] | None = None
    _modified: dict[tuple[Modifier, ...], Targets] = field(default_factory=dict, repr=False)

    def by(self, around: tuple[Modifier, ...]) -> Targets:
        """The targets as the compositions around a method change them."""
        if around not in self._modified:
            targets = self.targets
            for modifier in around:
                targets = modifier.retargeted(targets, self.outputs)
            self._modified[around] = targets
        return self._modified[around]

    def images(self, index: Int[np.ndarray, image]) -> Asked:
        """The same for copies of these images."""
        xp = array_namespace(self.outputs.logits)
        logits = xp.take(self.outputs.logits, xp.asarray(index, device=device(self.outputs.logits)), axis=0)
        return Asked(
            self.targets.images(index),
            Outputs(logits, self.outputs.task),
            None if self.levels is None else self.levels[index],
            {around: targets.images(index) for around, targets in self._modified.items()},
        )


@dataclass(frozen=True, eq=False)
class Round:
    """What came of one input.

    Attributes:
        asked: the targets, and the outputs without a graph.
        maps: by expression and layer.
        gathered: with what else was gathered on the way.
        scores: of the targets.
        notes: what a reader should know about how the model is read.
        flat: layers at which the maps of a method that knows classes came out flat, all of one pass.
        covered: how much of the layers' grids the input takes along each axis; None for all.
    """

    asked: Asked
    maps: Maps
    gathered: Gathered
    scores: Float[Array, "batch target"] | None = None
    notes: tuple[str, ...] = ()
    flat: frozenset[str] = frozenset()
    covered: tuple[float, ...] | None = None


class Planner:
    """Runs expressions on inputs.

    Args:
        adapter: the model.
        setting: what wrappers need to know.
        notes: takes what a reader of the maps should know.
    """

    def __init__(self, adapter: Adapter, setting: Setting, notes: Notes) -> None:
        self._adapter = adapter
        self._setting = setting
        self._notes = notes
        self._flat: set[str] = set()

    def run(
        self,
        batch: Batch,
        requests: Sequence[Request],
        ask: Callable[[Outputs], Targets],
        channels: int = 0,
        channels_of: Sequence[Layer] = (),
    ) -> Round:
        """Explain a batch.

        Args:
            batch: the inputs.
            requests: simplified expressions, and the layers each is wanted at.
            ask: what is explained, given the model's outputs.
            channels: how many of the strongest channels to keep.
            channels_of: of these layers.
        """
        direct, wrapped = _sorted(requests)
        gathered = Gathered()
        plain = {e: layers for e, layers in direct.items() if not _balanced(e)}
        tap = Tap(channels, channels_of) if channels else None
        with self._adapter.observe(batch, _needs_by_layer(plain, tap)) as seen:
            targets, structure = ask(seen.outputs), seen.outputs.structure
            asked = Asked(targets, seen.outputs, targets.levels(seen.outputs))
            self._observed(seen, plain, asked, gathered, tap)
            scores = detached(asked.targets.scores(seen.outputs))
            notes = tuple(seen.notes)
        clean = asked.outputs.detached()
        asked = dataclasses.replace(asked, outputs=clean)
        maps = self._rest(batch, direct, wrapped, asked, gathered)
        wanted = {e: maps_of(e, maps, layers, asked) for e, layers in requests}
        covered = None if structure is None else structure.covered
        return Round(asked, wanted, gathered, scores, notes, frozenset(self._flat), covered)

    def _again(self, batch: Batch, requests: Sequence[Request], asked: Asked) -> Maps:
        """The same for an altered copy, whose targets are those of the original."""
        direct, wrapped = _sorted(requests)
        gathered = Gathered()
        plain = {e: layers for e, layers in direct.items() if not _balanced(e)}
        if plain:
            with self._adapter.observe(batch, _needs_by_layer(plain)) as seen:
                self._observed(seen, plain, asked, gathered)
        maps = self._rest(batch, direct, wrapped, asked, gathered)
        return {e: maps_of(e, maps, layers, asked) for e, layers in requests}

    def _rest(
        self,
        batch: Batch,
        direct: Mapping[Expression, Sequence[Layer]],
        wrapped: Sequence[Sequence[Request]],
        asked: Asked,
        gathered: Gathered,
    ) -> Maps:
        """What takes passes of its own: other backwards, and altered copies."""
        balanced = {e: layers for e, layers in direct.items() if _balanced(e)}
        if balanced:
            with self._adapter.observe(batch, _needs_by_layer(balanced), balanced=True) as seen:
                self._observed(seen, balanced, asked, gathered)
        maps = gathered.joined()
        for requests in wrapped:
            wrapper = requests[0][0]
            if isinstance(wrapper, MultiScale):
                maps |= self._over_sizes(batch, requests, asked)
            elif isinstance(wrapper, Smooth) and wrapper.average == "gradients":
                maps |= self._over_noise(batch, requests, asked)
            else:
                maps |= self._over_copies(batch, requests, asked)
        self._flat |= _flat(maps)
        return maps

    # ------------------------------------------------------------------ one input

    def _observed(
        self,
        seen: Observation,
        wanted: Mapping[Expression, Sequence[Layer]],
        asked: Asked,
        gathered: Gathered,
        tap: Tap | None = None,
    ) -> None:
        """Every method on the evidence it needs. A tap sees the gradients of the targets as they were asked for."""
        kinds: dict[Any, tuple[Modifier, ...]] = {(): ()} if tap else {}
        for e in wanted:
            kinds.setdefault(_kind(e), modifiers(e))
        for kind, around in kinds.items():
            targets = asked.by(around)
            beside = {e: layers for e, layers in wanted.items() if _kind(e) == kind}
            # what has a target axis comes a few targets at a time; a sweep of altered inputs serves all at once
            for each_target in (True, False):
                some = {
                    e: layers
                    for e, layers in beside.items()
                    if bool(e.method.needs & BACKWARD) == each_target
                }
                tapped = tap if each_target and not around else None
                self._of_layers(seen, some, beside, targets, gathered, tapped)
                self._of_model(seen, some, targets, gathered)

    def _of_layers(
        self,
        seen: Observation,
        wanted: Mapping[Expression, Sequence[Layer]],
        beside: Mapping[Expression, Sequence[Layer]],
        targets: Targets,
        gathered: Gathered,
        tap: Tap | None,
    ) -> None:
        needs = _needs_by_layer(wanted, tap)
        if not needs:
            return
        for layer, _, evidence in seen.evidence(targets, needs, self._setting.seed):
            here = _wanted_at(layer, wanted.items())
            _check_head([e.method for e in here], layer, evidence)
            for e in here:
                m = e.method
                if m.class_specific or not gathered.has(e, layer):
                    gathered.add(e, m, layer, m(evidence), evidence)
            if tap and any(layer == one.name for one in tap.layers):
                gathered.add_channels(layer, evidence, tap.count)
            self._notes.of_evidence(_methods_at(layer, beside.items()), layer, evidence)

    def _of_model(
        self,
        seen: Observation,
        wanted: Mapping[Expression, Sequence[Layer]],
        targets: Targets,
        gathered: Gathered,
    ) -> None:
        some = [e for e in wanted if e.method.scope == "model"]
        if not some:
            return
        for _, evidence in seen.model_evidence(targets, _needs(some), self._setting.seed):
            for e in some:
                m = e.method
                if m.class_specific or not gathered.has(e, WHOLE):
                    gathered.add(e, m, WHOLE, m(evidence), None)
            self._notes.of_model([e.method for e in some], evidence)

    # ------------------------------------------------------------------ altered copies

    def _over_copies(self, batch: Batch, requests: Sequence[Request], asked: Asked) -> Maps:
        """Mean maps over copies, several of which run as one batch."""
        wrapper = requests[0][0]
        assert isinstance(wrapper, Composition)
        if turns(wrapper) and asked.targets.placed:
            raise MethodError(
                f"{_short(wrapper)} flips or turns the picture, and what is explained is at one place of it. Use "
                "copies of other brightness, augment(…, transforms=[0.9, 1.0, 1.1]), or smooth(…)."
            )
        inner = [(_inner(e), layers) for e, layers in requests]
        made = copies(wrapper, self._setting)
        totals: Maps = {e: {} for e, _ in requests}
        size = len(batch)
        for some in _batched(made, max(1, _TOGETHER // size)):
            for group, index, stacked in _stacked(batch, some):
                with _size_refused(wrapper, stacked, batch):
                    there = [
                        (e, tuple(self._layer(stacked, batch, layer) for layer in layers))
                        for e, layers in inner
                    ]
                    found = self._again(stacked, there, asked.images(index))
                for (e, _), (e_inner, _) in zip(requests, inner, strict=True):
                    for layer, maps in found[e_inner].items():
                        for i, copy in enumerate(group):
                            own = copy.restore(maps[i * size : (i + 1) * size])
                            own = summand(wrapper, own, e_inner.rectified)
                            totals[e][layer] = totals[e][layer] + own if layer in totals[e] else own
        return {
            e: {layer: total / len(made) for layer, total in by_layer.items()}
            for e, by_layer in totals.items()
        }

    def _over_noise(self, batch: Batch, requests: Sequence[Request], asked: Asked) -> Maps:
        """Maps of the clean activations and gradients averaged over noisy copies."""
        wrapper = requests[0][0]
        size = len(batch)
        maps: Maps = {}
        for kind in _same_backward(requests):
            around = modifiers(_inner(kind[0][0]))
            whole = [e for e, _ in kind if e.method.scope == "model"]
            if whole:
                maps |= self._whole_over_noise(batch, whole, around, asked)
            layers = _layers(dict(kind))
            if not layers:
                continue
            noisy = {layer.name: NoisyGradients() for layer in layers}
            for some in _batched(copies(wrapper, self._setting), max(1, _TOGETHER // size)):
                for group, index, stacked in _stacked(batch, some):
                    found, _ = self._gradients(stacked, layers, around, asked.images(index))
                    for layer, evidence in found:
                        for i in range(len(group)):
                            assert evidence.gradients is not None
                            noisy[layer].add(evidence.gradients[i * size : (i + 1) * size])
            clean = dict(self._gradients(batch, layers, around, asked, gradients=False)[0])
            for layer, evidence in clean.items():
                self._notes.of_evidence(_methods_at(layer, kind), layer, evidence)
            for e, wanted in kind:
                if e.method.scope == "layer":
                    maps[e] = {
                        layer.name: e.method(noisy[layer.name].evidence(clean[layer.name]))
                        for layer in wanted
                    }
        return maps

    def _whole_over_noise(
        self, batch: Batch, wanted: Sequence[Expression], around: tuple[Modifier, ...], asked: Asked
    ) -> Maps:
        """Maps of the parts of the score averaged over noisy copies, a few targets at a time."""
        wrapper, targets = wanted[0], asked.by(around)
        balanced = _has_balanced(around)
        needs, seed = _needs(wanted), self._setting.seed
        pieces: dict[Expression, list[Array]] = {e: [] for e in wanted}
        for start in range(0, len(targets), _TARGETS_TOGETHER):
            some = targets[start : start + _TARGETS_TOGETHER]
            noisy: dict[int, NoisyFullGradients] = {}
            for copy in copies(wrapper, self._setting):
                with self._adapter.observe(batch.altered(copy.build(batch.x)), {}, balanced=balanced) as seen:
                    for columns, evidence in seen.model_evidence(some, needs, seed):
                        assert evidence.full_gradients is not None
                        noisy.setdefault(columns.start, NoisyFullGradients()).add(evidence.full_gradients)
            with self._adapter.observe(batch, {}) as seen:
                ((_, clean),) = seen.model_evidence(some, frozenset(), seed)
            for parts in noisy.values():
                evidence = parts.evidence(clean)
                self._notes.of_model([e.method for e in wanted], evidence)
                for e in wanted:
                    pieces[e].append(e.method(evidence))
        xp = array_namespace(batch.x)
        return {e: {WHOLE: xp.concat(found, axis=1)} for e, found in pieces.items()}

    def _over_sizes(self, batch: Batch, requests: Sequence[Request], asked: Asked) -> Maps:
        """Maps of activations and gradients averaged over sizes of the input."""
        wrapper = requests[0][0]
        assert isinstance(wrapper, MultiScale)
        maps: Maps = {}
        for kind in _same_backward(requests):
            layers = _layers(dict(kind))
            around = modifiers(_inner(kind[0][0]))
            sizes: dict[str, list[Size]] = {layer.name: [] for layer in layers}
            for copy in copies(wrapper, self._setting):
                sized = batch.altered(copy.build(batch.x))
                with _size_refused(wrapper, sized, batch):
                    there = [self._layer(sized, batch, layer) for layer in layers]
                    found, top = self._gradients(sized, there, around, asked)
                counts = (asked.targets.classes == top[:, None]) | (asked.targets.classes < 0)
                for layer, evidence in found:
                    sizes[layer].append(Size(evidence.activations, evidence.gradients, counts))
                    self._notes.of_evidence(_methods_at(layer, kind), layer, evidence)
            for e, wanted in kind:
                maps[e] = {
                    layer.name: _of_sizes(e.method, wrapper, sizes[layer.name], batch.x) for layer in wanted
                }
        return maps

    def _gradients(
        self,
        batch: Batch,
        layers: Sequence[Layer],
        around: tuple[Modifier, ...],
        asked: Asked,
        *,
        gradients: bool = True,
    ) -> tuple[list[tuple[str, Evidence]], Int[np.ndarray, batch]]:
        """Activations and gradients of all targets, layer by layer; and each image's top class."""
        wanted = frozenset({Need.ACTIVATIONS, *({Need.GRADIENTS} if gradients else set())})
        needs = dict.fromkeys(layers, wanted)
        pieces: dict[str, list[Evidence]] = {}
        balanced = _has_balanced(around)
        with self._adapter.observe(batch, needs, balanced=balanced) as seen:
            logits = detached(seen.outputs.logits)
            for layer, _, evidence in seen.evidence(asked.by(around), needs, self._setting.seed):
                pieces.setdefault(layer, []).append(evidence)
        top = np.asarray(array_namespace(logits).argmax(logits, axis=1).tolist())
        return [(layer, _whole(found)) for layer, found in pieces.items()], top

    def _layer(self, copy: Batch, batch: Batch, layer: Layer) -> Layer:
        """The layer as it is for a copy, whose size may be another."""
        return layer if copy.space == batch.space else self._adapter.layer(copy, layer.name)


def maps_of(expression: Expression, maps: Maps, layers: Sequence[Layer], asked: Asked) -> dict[str, Array]:
    """An expression's maps at the layers it was wanted at, one of all where it joins them."""
    if isinstance(expression, Joined):
        inner = maps_of(expression.inner, maps, layers, asked)
        in_order = [inner[layer.name] for layer in layers]
        if isinstance(expression, AtLevel):
            one = at_level(in_order, asked.levels)
        else:
            assert isinstance(expression, Fuse)
            one = fused(in_order, expression)
        return {", ".join(dict.fromkeys(layer.name for layer in layers)): one}
    found = maps[expression]
    wanted = {layer.name for layer in layers}
    # a map of the whole model, or of a fusion inside a wrapper, has a name of its own
    return {name: m for name, m in found.items() if name in wanted} or found


@contextmanager
def _size_refused(wrapper: Composition, copy: Batch, batch: Batch) -> Iterator[None]:
    """Say what a copy of another size is for, should the model not take it."""
    try:
        yield
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        if isinstance(error, CamscopeError) or copy.space == batch.space:
            raise
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{_short(wrapper)} runs the model at {copy.space}, a size it does not take; "
            f"{wrapper.method.name} alone runs it at the input's own. It said: {said}"
        ) from error


def _short(composition: Composition) -> str:
    """The name without its parameters, should they be many digits."""
    name = composition.name
    return name if len(name) <= 80 else f"{composition.word}({composition.inner.name}, …)"


def _flat(maps: Maps) -> frozenset[str]:
    def all_flat(m: Array) -> bool:
        xp = array_namespace(m)
        axes = tuple(range(2, m.ndim))
        high, low = xp.max(m, axis=axes), xp.min(m, axis=axes)
        return bool(xp.all(is_flat(low, high)))

    by_class = (found for e, found in maps.items() if e.method.scope == "layer" and e.class_specific)
    return frozenset(layer for found in by_class for layer, m in found.items() if all_flat(m))


def _sorted(
    requests: Sequence[Request],
) -> tuple[dict[Expression, list[Layer]], list[list[Request]]]:
    """What can be had from this input itself, and what takes altered copies, by wrapper; fusions opened."""
    direct: dict[Expression, list[Layer]] = {}
    wrapped: dict[Any, dict[Expression, list[Layer]]] = {}
    for expression, layers in requests:
        inside = expression
        while isinstance(inside, Joined):
            inside = inside.inner
        if isinstance(inside, Wrapper):
            place = wrapped.setdefault(_without_inner(inside), {}).setdefault(inside, [])
        else:
            place = direct.setdefault(inside, [])
        place += [layer for layer in layers if layer not in place]
    return direct, [[(e, tuple(layers)) for e, layers in group.items()] for group in wrapped.values()]


def _without_inner(wrapper: Composition) -> Any:
    """What tells two wrappers apart, whatever they are around."""
    fields = dataclasses.fields(wrapper)
    return type(wrapper), tuple(getattr(wrapper, f.name) for f in fields if f.name != "inner")


def _same_backward(requests: Sequence[Request]) -> Iterable[list[Request]]:
    """The requests by what is around their methods: those explain the same targets by the same gradients."""
    kinds: dict[Any, list[Request]] = {}
    for e, layers in requests:
        kinds.setdefault(_kind(_inner(e)), []).append((e, layers))
    return kinds.values()


def _kind(e: Expression) -> Any:
    """What tells apart whose targets or gradients are changed, whatever their methods are."""
    return tuple(_without_inner(modifier) for modifier in modifiers(e))


def _needs(wanted: Iterable[Expression]) -> frozenset[Need]:
    methods = [e.method for e in wanted]
    return frozenset[Need]().union(*(m.needs | m.uses for m in methods))


def _needs_by_layer(
    wanted: Mapping[Expression, Sequence[Layer]], tap: Tap | None = None
) -> dict[Layer, frozenset[Need]]:
    """What the methods of layers need at each of them."""
    needs: dict[Layer, frozenset[Need]] = {}
    for e, layers in wanted.items():
        if e.method.scope == "layer":
            for layer in layers:
                needs[layer] = needs.get(layer, frozenset()) | _needs([e])
    for layer in tap.layers if tap else ():
        needs[layer] = needs.get(layer, frozenset()) | _CHANNELS
    return needs


def _layers(wanted: Mapping[Expression, Sequence[Layer]]) -> list[Layer]:
    """All layers wanted by methods of layers, each once."""
    return list(
        dict.fromkeys(layer for e, layers in wanted.items() if e.method.scope == "layer" for layer in layers)
    )


def _wanted_at(layer: str, requests: Iterable[tuple[Expression, Sequence[Layer]]]) -> list[Expression]:
    return [e for e, layers in requests if any(one.name == layer for one in layers)]


def _methods_at(layer: str, requests: Iterable[tuple[Expression, Sequence[Layer]]]) -> list[Method]:
    return [e.method for e in _wanted_at(layer, requests)]


def _inner(e: Expression) -> Expression:
    assert isinstance(e, Composition)
    return e.inner


def _balanced(e: Expression) -> bool:
    return _has_balanced(modifiers(e))


def _has_balanced(around: Sequence[Modifier]) -> bool:
    return any(isinstance(modifier, Balanced) for modifier in around)


def _check_head(methods: Sequence[Method], layer: str, evidence: Evidence) -> None:
    if evidence.head is None:
        for m in methods:
            if Need.LINEAR_HEAD in m.needs:
                raise MethodError(
                    f"{m.name} needs a head that is global average pooling and one linear layer directly on the "
                    f"target layer; behind {layer!r} that is not so (checked in numbers). Use 'hirescam' or "
                    "'gradcam', which equal CAM wherever it exists, or 'ablationcam'."
                )


def _batched(made: Sequence[Copy], size: int) -> Iterator[Sequence[Copy]]:
    for start in range(0, len(made), size):
        yield made[start : start + size]


def _stacked(
    batch: Batch, some: Sequence[Copy]
) -> Iterator[tuple[list[Copy], Int[np.ndarray, image], Batch]]:
    """Copies of one shape as one batch, copy by copy; and which image each of its rows is of."""
    xp = array_namespace(batch.x)
    groups: dict[tuple[int, ...], list[tuple[Copy, Array]]] = {}
    for copy in some:
        built = copy.build(batch.x)
        groups.setdefault(tuple(built.shape), []).append((copy, built))
    for group in groups.values():
        index = np.tile(np.arange(len(batch)), len(group))
        altered = batch.images(index).with_x(xp.concat([built for _, built in group], axis=0))
        yield [copy for copy, _ in group], index, altered


def _whole(pieces: Sequence[Evidence]) -> Evidence:
    """Evidence for a few targets each, as one."""
    if len(pieces) == 1 or pieces[0].gradients is None:
        return pieces[0]
    xp = array_namespace(pieces[0].activations)
    return Evidence(
        pieces[0].activations, xp.concat([p.gradients for p in pieces], axis=1), seed=pieces[0].seed
    )


def _of_sizes(m: Method, wrapper: MultiScale, sizes: Sequence[Size], x: Array) -> Array:
    """One target and, where it takes much memory, one image at a time."""
    xp = array_namespace(x)
    if wrapper.at == "layer":
        space = max((size.activations.shape[2:] for size in sizes), key=np.prod)
        parts = [sizes]
    else:
        space = x.shape[2:]
        parts = [
            [Size(s.activations[b : b + 1], s.gradients[b : b + 1], s.counts[b : b + 1]) for s in sizes]
            for b in range(x.shape[0])
        ]
    targets = range(sizes[0].gradients.shape[1])
    rows = [xp.concat([m(over_sizes(part, space, t)) for t in targets], axis=1) for part in parts]
    return xp.concat(rows, axis=0)
