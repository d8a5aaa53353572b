"""Runs wrappers: makes altered copies of a batch, runs several of them together, and averages over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array, detached, from_numpy, relu, resize, scaled, to_numpy
from camscope.composition import (
    ABOVE_ZERO,
    Composition,
    Copy,
    Expression,
    Modifier,
    NoisyFullGradients,
    NoisyGradients,
    Sess,
    Setting,
    Size,
    Wrapper,
    check_pictures,
    over_sizes,
    softened,
)
from camscope.engine.notes import Notes
from camscope.engine.passes import WHOLE
from camscope.engine.requests import (
    LayerMaps,
    LayersOf,
    Request,
    ResolvedTargets,
    layers_of,
    methods_at,
    needs_of,
    same_gradients,
    uses_libragrad,
)
from camscope.errors import CamscopeError, InputError, MethodError, first_line
from camscope.evidence import Evidence, Need
from camscope.methods import Method
from camscope.models.adapter import Adapter
from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.observing import responses

_TOGETHER = 16
"""How many images run at a time when the batch is copied."""

_TARGETS_TOGETHER = 4
"""For how many targets at a time the full gradients are summed over copies, since they take much memory."""

RunCopy: TypeAlias = Callable[[Batch, Sequence[Request], ResolvedTargets], LayerMaps]
"""Makes the maps of an altered copy: a batch, what is wanted of it, and what is explained."""


@dataclass(frozen=True)
class _Stack:
    """Copies of one shape, run as one batch.

    Attributes:
        copies: the copies.
        batch: all images of the first copy, then all of the second, and so on.
        index: the number of the original image that each row of the batch is a copy of.
    """

    copies: Sequence[Copy]
    batch: Batch
    index: Int[np.ndarray, " image"]

    def slices(self) -> Iterator[tuple[Copy, slice]]:
        """Each copy, and its rows in the batch."""
        size = len(self.index) // len(self.copies)
        for number, copy in enumerate(self.copies):
            yield copy, slice(number * size, (number + 1) * size)


class AlteredCopies:
    """Runs wrappers.

    Args:
        adapter: runs the model.
        setting: what wrappers need to know.
        notes: collects what a reader of the maps should know.
        run_copy: makes the maps of an altered copy.
    """

    def __init__(self, adapter: Adapter, setting: Setting, notes: Notes, run_copy: RunCopy) -> None:
        self._adapter = adapter
        self._setting = setting
        self._notes = notes
        self._run_copy = run_copy

    def run(self, batch: Batch, requests: Sequence[Request], resolved: ResolvedTargets) -> LayerMaps:
        """The maps of expressions whose outermost composition is the same wrapper.

        Args:
            batch: the inputs.
            requests: the expressions, and the layers each is wanted at.
            resolved: what is explained.

        Raises:
            MethodError: if copies are flipped or turned, but what is explained is at one place.
            InputError: if the wrapper lacks something it must know, or the model does not take a copy's size.
        """
        wrapper = requests[0].expression
        assert isinstance(wrapper, Wrapper)
        inner = {request.expression: _inside(request) for request in requests}
        if wrapper.averages == "maps":
            return self._mean_maps(batch, wrapper, inner, resolved)
        if isinstance(wrapper, Sess):
            return self._over_windows(batch, wrapper, inner, resolved)
        average = self._over_sizes if wrapper.averages == "sizes" else self._over_noise
        outer = {request.expression: e for e, request in inner.items()}
        wanted = {request.expression: request.layers for request in inner.values()}
        maps: LayerMaps = {}
        for around, some in same_gradients(wanted):
            maps |= {outer[e]: found for e, found in average(batch, wrapper, some, around, resolved).items()}
        return maps

    # ------------------------------------------------------------------ the mean of maps

    def _mean_maps(
        self, batch: Batch, wrapper: Wrapper, inner: dict[Expression, Request], resolved: ResolvedTargets
    ) -> LayerMaps:
        """The maps averaged over the copies."""
        if wrapper.turns and resolved.targets.placed:
            raise MethodError(
                f"{wrapper.short_name} flips or turns the picture, and what is explained is at one place of it. Use "
                "copies of other brightness, augment(…, transforms=[0.9, 1.0, 1.1]), or smooth(…)."
            )
        count = 0
        totals: LayerMaps = {e: {} for e in inner}
        for stack in self._stacks(batch, wrapper.copies(self._setting)):
            count += len(stack.copies)
            with size_refused(wrapper, stack.batch, batch):
                there = {e: self._there(request, stack.batch, batch) for e, request in inner.items()}
                found = self._run_copy(stack.batch, list(there.values()), resolved.images(stack.index))
            for e, request in there.items():
                rectified = request.expression.rectified
                for layer, maps in found[request.expression].items():
                    for copy, rows in stack.slices():
                        own = wrapper.summand(copy.restore(maps[rows]), rectified)
                        totals[e][layer] = totals[e][layer] + own if layer in totals[e] else own
        return {
            e: {layer: total / count for layer, total in by_layer.items()} for e, by_layer in totals.items()
        }

    # ------------------------------------------------------------------ maps at their places

    def _over_windows(
        self, batch: Batch, wrapper: Sess, inner: dict[Expression, Request], resolved: ResolvedTargets
    ) -> LayerMaps:
        """The maps of windows, weighted, each at its place, averaged where they are above zero."""
        if resolved.targets.placed:
            raise MethodError(
                f"{wrapper.short_name} looks through windows at parts of the picture, but what is explained is at one "
                "place of it."
            )
        check_pictures(batch.x)
        windows = wrapper.windows()
        copies = [Copy(window.of) for window in windows]
        number_of = {copy: number for number, copy in enumerate(copies)}
        weights = wrapper.weights(self._probabilities(batch, copies, resolved))
        xp = array_namespace(batch.x)
        sums: LayerMaps = {e: {} for e in inner}
        counts: LayerMaps = {e: {} for e in inner}
        for stack in self._stacks(batch, [copy for n, copy in enumerate(copies) if weights[n].any()]):
            there = {e: self._there(request, stack.batch, batch) for e, request in inner.items()}
            found = self._run_copy(stack.batch, list(there.values()), resolved.images(stack.index))
            for e, request in there.items():
                for layer, maps in found[request.expression].items():
                    shown = relu(maps) if request.expression.rectified else maps
                    heat = scaled(resize(shown, batch.space))
                    for copy, rows in stack.slices():
                        number = number_of[copy]
                        weight = from_numpy(weights[number], like=heat)[..., None, None]
                        part = windows[number].placed(heat[rows] * weight)
                        there_is = xp.astype(part > ABOVE_ZERO, part.dtype)
                        seen = layer in sums[e]
                        sums[e][layer] = sums[e][layer] + part if seen else part
                        counts[e][layer] = counts[e][layer] + there_is if seen else there_is
        return {
            e: {
                layer: softened(total / xp.clip(counts[e][layer], 1, None))
                for layer, total in by_layer.items()
            }
            for e, by_layer in sums.items()
        }

    def _probabilities(
        self, batch: Batch, copies: Sequence[Copy], resolved: ResolvedTargets
    ) -> Float[np.ndarray, "copy batch target"]:
        """Of the targets in every copy; their scores where there are no probabilities."""
        found: list[np.ndarray] = []
        for stack in self._stacks(batch, copies):
            with self._adapter.observe(stack.batch, {}) as seen:
                answers = responses(resolved.images(stack.index).targets, seen.outputs)
                there = to_numpy(detached(answers.probabilities))
            found += [there[rows] for _, rows in stack.slices()]
        return np.stack(found)

    # ------------------------------------------------------------------ averaged gradients

    def _over_noise(
        self,
        batch: Batch,
        wrapper: Wrapper,
        wanted: LayersOf,
        around: tuple[Modifier, ...],
        resolved: ResolvedTargets,
    ) -> LayerMaps:
        """The maps of the clean activations with gradients averaged over noisy copies."""
        whole = [e for e in wanted if e.method.scope == "model"]
        maps = self._whole_over_noise(batch, wrapper, whole, around, resolved) if whole else {}
        layers = layers_of(wanted)
        if not layers:
            return maps
        noisy = {layer.name: NoisyGradients() for layer in layers}
        for stack in self._stacks(batch, wrapper.copies(self._setting)):
            found, _ = self._gradients(stack.batch, layers, around, resolved.images(stack.index))
            for layer, evidence in found.items():
                assert evidence.gradients is not None
                for _, rows in stack.slices():
                    noisy[layer].add(evidence.gradients[rows])
        clean, _ = self._gradients(batch, layers, around, resolved, gradients=False)
        for layer, evidence in clean.items():
            self._notes.of_evidence(methods_at(layer, wanted), layer, evidence)
        for e, its in wanted.items():
            if e.method.scope == "layer":
                maps[e] = {
                    layer.name: e.method(noisy[layer.name].evidence(clean[layer.name])) for layer in its
                }
        return maps

    def _whole_over_noise(
        self,
        batch: Batch,
        wrapper: Wrapper,
        wanted: Sequence[Expression],
        around: tuple[Modifier, ...],
        resolved: ResolvedTargets,
    ) -> LayerMaps:
        """The maps of the parts of the score, averaged over noisy copies, for a few targets at a time."""
        targets = resolved.by(around)
        libragrad = uses_libragrad(around)
        needs, seed = needs_of(wanted, self._adapter.offers), self._setting.seed
        pieces: dict[Expression, list[Array]] = {e: [] for e in wanted}
        for start in range(0, len(targets), _TARGETS_TOGETHER):
            some = targets[start : start + _TARGETS_TOGETHER]
            noisy: dict[int, NoisyFullGradients] = {}
            for copy in wrapper.copies(self._setting):
                altered = batch.altered(copy.build(batch.x))
                with self._adapter.observe(altered, {}, libragrad=libragrad) as seen:
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

    def _over_sizes(
        self,
        batch: Batch,
        wrapper: Wrapper,
        wanted: LayersOf,
        around: tuple[Modifier, ...],
        resolved: ResolvedTargets,
    ) -> LayerMaps:
        """The maps of activations and gradients averaged over sizes of the input."""
        layers = layers_of(wanted)
        classes = resolved.targets.classes
        sizes: dict[str, list[Size]] = {layer.name: [] for layer in layers}
        for copy in wrapper.copies(self._setting):
            sized = batch.altered(copy.build(batch.x))
            with size_refused(wrapper, sized, batch):
                there = [self._layer(sized, batch, layer) for layer in layers]
                found, top = self._gradients(sized, there, around, resolved)
            counts = (classes == top[:, None]) | (classes < 0)
            for layer, evidence in found.items():
                sizes[layer].append(Size(evidence.activations, evidence.gradients, counts))
                self._notes.of_evidence(methods_at(layer, wanted), layer, evidence)
        at_input = getattr(wrapper, "at", "layer") == "input"
        return {
            e: {
                layer.name: _of_sizes(e.method, sizes[layer.name], batch.x, at_input=at_input)
                for layer in its
            }
            for e, its in wanted.items()
        }

    def _gradients(
        self,
        batch: Batch,
        layers: Sequence[Layer],
        around: tuple[Modifier, ...],
        resolved: ResolvedTargets,
        *,
        gradients: bool = True,
    ) -> tuple[dict[str, Evidence], Int[np.ndarray, " batch"]]:
        """Activations and gradients of all targets, by layer; and each image's top class."""
        needs = frozenset({Need.ACTIVATIONS, *({Need.GRADIENTS} if gradients else set())})
        by_layer = dict.fromkeys(layers, needs)
        pieces: dict[str, list[Evidence]] = {}
        with self._adapter.observe(batch, by_layer, libragrad=uses_libragrad(around)) as seen:
            logits = detached(seen.outputs.logits)
            for layer, _, evidence in seen.evidence(resolved.by(around), by_layer, self._setting.seed):
                pieces.setdefault(layer, []).append(evidence)
        top = np.asarray(array_namespace(logits).argmax(logits, axis=1).tolist())
        return {layer: _whole(found) for layer, found in pieces.items()}, top

    # ------------------------------------------------------------------ copies

    def _stacks(self, batch: Batch, made: Sequence[Copy]) -> Iterator[_Stack]:
        """Copies in batches of a limited number of images; a batch holds copies of one shape."""
        at_a_time = max(1, _TOGETHER // len(batch))
        xp = array_namespace(batch.x)
        for start in range(0, len(made), at_a_time):
            groups: dict[tuple[int, ...], list[tuple[Copy, Array]]] = {}
            for copy in made[start : start + at_a_time]:
                built = copy.build(batch.x)
                groups.setdefault(tuple(built.shape), []).append((copy, built))
            for group in groups.values():
                index = np.tile(np.arange(len(batch)), len(group))
                altered = batch.images(index).with_x(xp.concat([built for _, built in group], axis=0))
                yield _Stack([copy for copy, _ in group], altered, index)

    def _there(self, request: Request, copy: Batch, batch: Batch) -> Request:
        """The same request for an altered copy."""
        layers = tuple(self._layer(copy, batch, layer) for layer in request.layers)
        return Request(request.expression, layers)

    def _layer(self, copy: Batch, batch: Batch, layer: Layer) -> Layer:
        """The same layer for an altered copy, whose size may be another."""
        return layer if copy.space == batch.space else self._adapter.layer(copy, layer.name)


def _inside(request: Request) -> Request:
    """The request for the expression inside the wrapper."""
    assert isinstance(request.expression, Composition)
    return Request(request.expression.inner, request.layers)


@contextmanager
def size_refused(wrapper: Wrapper, copy: Batch, batch: Batch) -> Iterator[None]:
    """Turn the error of a model that does not take a copy's size into one that says which wrapper ran that size.

    Args:
        wrapper: the wrapper.
        copy: one of its copies, which is run in this context.
        batch: the inputs that it is a copy of.

    Raises:
        InputError: in place of the model's own error.
    """
    try:
        yield
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        if copy.space == batch.space or (
            isinstance(error, CamscopeError) and not isinstance(error, InputError)
        ):
            raise
        said = first_line(error)
        raise InputError(
            f"{wrapper.short_name} runs the model at {copy.space}, a size it does not take; "
            f"{wrapper.method.name} alone runs it at the input's own. It said: {said}"
        ) from error


def _whole(pieces: Sequence[Evidence]) -> Evidence:
    """One piece of evidence from several that are each for a few targets."""
    if len(pieces) == 1 or pieces[0].gradients is None:
        return pieces[0]
    xp = array_namespace(pieces[0].activations)
    return Evidence(
        pieces[0].activations, xp.concat([p.gradients for p in pieces], axis=1), seed=pieces[0].seed
    )


def _of_sizes(m: Method, sizes: Sequence[Size], x: Array, *, at_input: bool) -> Array:
    """The maps of activations and gradients averaged over sizes, computed for one target at a time.

    At the input's size, where it takes much memory, they are computed for one image at a time too.
    """
    xp = array_namespace(x)
    parts: list[Sequence[Size]] = [sizes]
    space = max((size.activations.shape[2:] for size in sizes), key=np.prod)
    if at_input:
        space = x.shape[2:]
        parts = [
            [Size(s.activations[b : b + 1], s.gradients[b : b + 1], s.counts[b : b + 1]) for s in sizes]
            for b in range(x.shape[0])
        ]
    targets = range(sizes[0].gradients.shape[1])
    rows = [xp.concat([m(over_sizes(part, space, t)) for t in targets], axis=1) for part in parts]
    return xp.concat(rows, axis=0)
