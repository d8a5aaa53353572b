"""One traced run of a model: what it returned, its scores, and what its layers put out, kept, replaced or added to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp

from camscope.models.decoding import OutputDecoder
from camscope.models.jax.call_arguments import CallArguments, is_array
from camscope.models.jax.taps import Tappable
from camscope.models.layer import has_batch_second
from camscope.models.runtime import INPUT


@dataclass
class Record:
    """What tracing a run showed, beside its arrays.

    Attributes:
        kinds: the classes of the layers that were called.
        calls: how often each was called and put out an array of real numbers.
        shapes: of what each put out at its last call, and its precision; without a batch axis where the model has none.
        kept: the layers whose output is kept, in the order of their last calls; the input first, if it is.
        same_as: of a layer that put out the very same array as another one before it, that one.
        raw: what the model returned: how it is built, and what is no array in it.
    """

    kinds: dict[str, type] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    shapes: dict[str, tuple[tuple[int, ...], Any]] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    same_as: dict[str, str] = field(default_factory=dict)
    raw: tuple[Any, list[Any]] = (None, [])

    def rebuilt(self, arrays: Sequence[Any]) -> Any:
        """What the model returned, with these arrays in it."""
        tree, leaves = self.raw
        rest = iter(arrays)
        return jax.tree_util.tree_unflatten(tree, [next(rest) if leaf is _PLACE else leaf for leaf in leaves])


_PLACE = object()
"""Stands where an array was."""


@dataclass(frozen=True)
class Wanted:
    """What is to be done at the layers. All of it is done at a layer's last call.

    Attributes:
        watched: the layers whose output is kept; None keeps all.
        calls: how often each layer is called, as far as something is replaced or added to.
    """

    watched: frozenset[str] | None = frozenset()
    calls: tuple[tuple[str, int], ...] = ()

    def keeps(self, layer: str) -> bool:
        """Whether a layer's output is kept."""
        return self.watched is None or layer in self.watched


@dataclass(frozen=True, eq=False)
class TappedRun:
    """A model's run as a pure function of arrays, which JAX can trace and compile.

    Attributes:
        model: the model.
        structure: of it, see `Tappable.now`.
        decoder: how it is called, and where its scores are.
        given: what it is called with.
        wanted: what is to be done at its layers.
        record: is filled whenever the run is traced.
    """

    model: Tappable
    structure: Any
    decoder: OutputDecoder
    given: CallArguments
    wanted: Wanted
    record: Record = field(default_factory=Record)

    def __call__(
        self,
        arrays: Any,
        inputs: Sequence[Any],
        replaced: Mapping[str, Any],
        added: Mapping[str, Any],
    ) -> tuple[Any, tuple[list[Any], list[Any]]]:
        """Run the model.

        Args:
            arrays: the model's, see `Tappable.now`.
            inputs: in the places of the arrays it is called with.
            replaced: what layers put out instead.
            added: what is added to what layers put out; under `INPUT`, to the input itself.

        Returns:
            logits: the scores, as the model returned them.
            raw: all arrays that it returned.
            values: what the watched layers put out, in the order of `Record.kept`.
        """
        values: list[Any] = []
        self.record.kept.clear()
        batch = self.given.with_arrays(inputs)
        if INPUT in added:
            batch = batch.with_given(batch.given + added[INPUT])
        if self.wanted.watched is not None and INPUT in self.wanted.watched:
            self.record.kept.append(INPUT)
            values.append(batch.given)
        at_layers = {name: value for name, value in added.items() if name != INPUT}

        def call(*args: Any, **kwargs: Any) -> Any:
            run = self._run_one_by_one if self.model.one_by_one else self._run
            output, seen = run(arrays, (args, kwargs), replaced, at_layers)
            values.extend(seen)
            return output

        raw = self.decoder.call(call, batch)
        leaves, tree = jax.tree_util.tree_flatten(raw)
        self.record.raw = tree, [_PLACE if is_array(leaf) else leaf for leaf in leaves]
        logits = jnp.asarray(self.decoder.logits(raw))
        return logits, ([leaf for leaf in leaves if is_array(leaf)], values)

    def _run_one_by_one(self, arrays: Any, call: Any, replaced: Any, added: Any) -> tuple[Any, list[Any]]:
        """A model of one example, for each of the batch."""
        rows = len(self.given.batch)
        leaves, tree = jax.tree_util.tree_flatten(call)
        by_row = [is_array(leaf) and bool(leaf.shape) and leaf.shape[0] == rows for leaf in leaves]

        def one(own: Sequence[Any], replaced: Any, added: Any) -> tuple[Any, list[Any]]:
            mine = iter(own)
            all_of_it = [next(mine) if is_own else leaf for leaf, is_own in zip(leaves, by_row, strict=True)]
            return self._run(arrays, jax.tree_util.tree_unflatten(tree, all_of_it), replaced, added)

        own = [leaf for leaf, is_own in zip(leaves, by_row, strict=True) if is_own]
        return jax.vmap(one)(own, replaced, added)

    def _run(self, arrays: Any, call: Any, replaced: Any, added: Any) -> tuple[Any, list[Any]]:
        args, kwargs = call
        taps = _Taps(
            self.wanted,
            replaced,
            added,
            self.record,
            None if self.model.one_by_one else len(self.given.batch),
        )
        output = self.model.call(self.structure, arrays, args, kwargs, taps)
        self.record.kept.extend(taps.values)
        return output, list(taps.values.values())


class _Taps:
    """What stands behind every layer during one run."""

    def __init__(
        self,
        wanted: Wanted,
        replaced: Mapping[str, Any],
        added: Mapping[str, Any],
        record: Record,
        rows: int | None,
    ) -> None:
        self.values: dict[str, Any] = {}
        self._wanted, self._replaced, self._added, self._rows = wanted, replaced, added, rows
        self._last = dict(wanted.calls)
        self._record = record
        record.calls.clear()
        record.same_as.clear()
        self._first_of: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no identity is taken twice
        self._trace = _trace()

    def __call__(self, name: str, layer: Any, output: Any) -> Any:
        """See `camscope.models.jax.taps.Tap`."""
        if _trace() != self._trace:
            return output  # inside of a scan or a checkpoint, which no array may leave by a side door
        leaves, tree = jax.tree_util.tree_flatten(output)
        places = [place for place, leaf in enumerate(leaves) if self._is_activation(leaf)]
        if not places:
            return output
        value = leaves[places[0]]
        self._note(name, layer, value)
        if self._record.calls[name] == self._last.get(name):
            if name in self._replaced:
                value = self._replaced[name].astype(value.dtype)
            elif name in self._added:
                value = value + self._added[name]
        if self._wanted.keeps(name):
            self.values.pop(name, None)
            self.values[name] = value
        if value is leaves[places[0]]:
            return output
        leaves[places[0]] = value
        return jax.tree_util.tree_unflatten(tree, leaves)

    def _is_activation(self, leaf: Any) -> bool:
        """Whether it is an array of real numbers, with one row for each image: in front, or behind its positions."""
        if not is_array(leaf) or not jnp.issubdtype(leaf.dtype, jnp.floating):
            return False
        if self._rows is None:
            return True
        return leaf.shape[:1] == (self._rows,) or has_batch_second(leaf.shape, self._rows)

    def _note(self, name: str, layer: Any, value: Any) -> None:
        self._record.kinds[name] = type(layer)
        self._record.shapes[name] = tuple(value.shape), value.dtype
        self._record.calls[name] += 1
        self._kept.append(value)
        first = self._first_of.setdefault(id(value), name)
        self._record.same_as.pop(name, None)
        if first != name:
            self._record.same_as[name] = first


def _trace() -> Any:
    """Which of nested traces is going on; equal to itself only."""
    return jax.extend.core.get_opaque_trace_state(convention="camscope")  # type: ignore[no-untyped-call]
