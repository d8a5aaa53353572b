"""Runs a Keras model on whatever backend Keras has. See `camscope.models.runtime.Runtime`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from jaxtyping import Shaped

from camscope.errors import ModelError
from camscope.models.batch import Batch
from camscope.models.decoding import OutputDecoder
from camscope.models.keras.backends import Shapes, Tap, Traced, backend, from_numpy, to_numpy
from camscope.models.keras.calling import caller, explaining_refusals, wanted
from camscope.models.keras.digest import weights_digest
from camscope.models.keras.last_activation import Candidates, LastActivation, are_probabilities
from camscope.models.keras.layer_names import named_layers, part_of
from camscope.models.keras.redrawn_copy import copied, redraw, weighted_layers
from camscope.models.keras.replay import Kept, Prefix, Reached, Suffix, how_it_grows
from camscope.models.keras.shadows import Call, Course, Watcher, around_calls, last_call
from camscope.models.keras.tensors import first_float, is_float, with_first_float
from camscope.models.last_used import LastUsed
from camscope.models.observing import Ending
from camscope.models.runtime import INPUT, Part, PullBack, Run, RunAfter
from camscope.models.turns import alone_with

_KINDS = 64
"""Kinds of input (sizes, mostly), with layers, of which is remembered how the model runs on them."""

_REMEMBERED = 8
"""Layers of which is remembered what was put out before them for one image, if that does not count."""


class KerasRuntime:
    """A Keras model.

    Everything runs in inference, and in a scope in which no variable of the model is ever assigned to.

    Args:
        model: a Keras model, or a layer.
        decoder: how it is called and what it puts out means.

    Raises:
        ModelError: if the model was never built.
    """

    framework = "Keras"
    differentiates = True

    def __init__(self, model: Any, decoder: OutputDecoder) -> None:
        if not model.built:
            raise ModelError(
                f"The model {model.name!r} was never called, so it has no weights yet. Before it is explained, call it "
                "once on an input (or let it begin with keras.Input, or call its build(shape)), and load its weights."
            )
        self.model = model
        self.decoder = decoder
        self._layers = named_layers(model)
        self._names = {id(layer): name for name, layer in self._layers.items()}
        self._call = caller(model)
        self._courses: LastUsed[Course] = LastUsed(_KINDS)
        self._found: LastUsed[_Found] = LastUsed(_KINDS)
        self._shapes: LastUsed[Shapes] = LastUsed(_KINDS)
        self._rows: LastUsed[Mapping[int, list[Any]]] = LastUsed(_KINDS)
        self._alone: LastUsed[Kept | None] = LastUsed(_REMEMBERED)

    @property
    def dtype(self) -> np.dtype:
        """Of the input; single precision for a model in half precision, which Keras converts its inputs to."""
        double = keras.backend.standardize_dtype(self.model.variable_dtype) == "float64"
        return np.dtype(np.float64 if double else np.float32)

    @property
    def takes(self) -> str:
        """The shapes of its inputs."""
        return wanted(self.model) or "a batch of inputs"

    def exclusive(self) -> AbstractContextManager[object]:
        """Other threads wait for their turn."""
        return alone_with([self.model, *self._layers.values()])

    # ------------------------------------------------------------------ what there is

    def is_tensor(self, value: Any) -> bool:
        """A tensor of the backend; or an array with as many axes as the input, of real numbers or of tokens."""
        if not isinstance(value, np.ndarray):
            return bool(keras.ops.is_tensor(value))
        axes = self._axes_of_input
        if value.dtype.kind in "iu" and self._reads_tokens:
            return value.ndim == 2 or value.ndim in axes
        return value.dtype.kind == "f" and (value.ndim in axes if axes else value.ndim in (2, 4, 5))

    @property
    def _axes_of_input(self) -> set[int]:
        """How many axes the inputs have, as far as the model tells."""
        if inputs := getattr(self.model, "inputs", None):
            return {len(tensor.shape) for tensor in inputs}
        shapes = getattr(self.model, "_build_shapes_dict", None) or {}
        return {len(shape) for shape in shapes.values() if isinstance(shape, (tuple, list)) and shape}

    @property
    def _reads_tokens(self) -> bool:
        whole = any("int" in tensor.dtype for tensor in getattr(self.model, "inputs", None) or ())
        return whole or any(isinstance(layer, keras.layers.Embedding) for layer in self._layers.values())

    def parts(self) -> list[Part]:
        """All layers, nested ones too, and the operations of functional graphs."""
        return [part_of(name, self._layers) for name in self._layers]

    def name_of(self, layer: Any) -> str | None:
        """The name of a layer object."""
        return self._names.get(id(layer))

    def describe(self) -> dict[str, Any]:
        """What the model is."""
        return {
            "model": type(self.model).__name__,
            "framework": f"keras {keras.__version__} ({backend().version})",
            "device": backend().device,
            "dtype": keras.backend.standardize_dtype(self.model.compute_dtype),
            "weights_sha256": weights_digest(self.model),
        }

    # ------------------------------------------------------------------ what it does

    def run(self, batch: Batch, watched: Collection[str] | None = ()) -> Run:
        """Run the model."""
        with self.exclusive(), backend().running():
            last = self._ending(batch).last
            seen = _Seen(self._layers if watched is None else watched, last)
            raw, output = self._forward(self._tensors(batch), batch, seen)
            return self._made(batch, raw, self._scores(batch, output, seen.logits), seen.values)

    def after(self, batch: Batch, layer: str, rows_along: int = 0) -> RunAfter:
        """The part after a layer. What was put out before its last call, in time, is given again."""
        with self.exclusive(), backend().running():
            kept = self._kept(batch, layer, rows_along)

        def run(given: Shaped[np.ndarray, " ..."]) -> Run:
            rows = given.shape[rows_along]
            if rows != len(batch) and len(batch) != 1:
                raise ValueError(f"{rows} rows for the inputs of {len(batch)} images")

            def change(tensor: Any) -> Any:
                return from_numpy(given, keras.backend.standardize_dtype(tensor.dtype))

            with self.exclusive(), backend().running():
                some = batch if rows == len(batch) else batch.images(np.zeros(rows, dtype=np.int64))
                last = self._ending(batch).last
                suffix = kept.suffix(rows, lambda value: with_first_float(value, change))
                seen = _SeenAfter(suffix.before, kept, last)
                raw, output = self._forward(self._tensors(some), some, seen)
                return self._made(batch, raw, self._scores(batch, output, seen.logits), {})

        return run

    @contextmanager
    def differentiated(self, batch: Batch, layers: Collection[str]) -> Iterator[tuple[Run, PullBack]]:
        """Run the model so that its logits can be differentiated by what layers put out."""
        with self.exclusive():
            last, course = self._ending(batch).last, self._course(batch)
            at = {_called(course, name): name for name in layers if name != INPUT}
            kind = (batch.signature, len(batch), frozenset(layers))
            shapes = self._shapes.get(kind, dict)
            kept = None if INPUT in layers else self._before_taps(batch, course, at, last)

            def run(tap: Tap) -> Traced:
                seen = _Tapped(at, tap, last, kept)
                tensors = self._tensors(batch)
                if INPUT in layers:
                    seen.values[INPUT] = tap(INPUT, tensors.given)
                    tensors = tensors.with_given(seen.values[INPUT])
                raw, output = self._forward(tensors, batch, seen)
                made.append(raw)
                leaves = [leaf for leaf in keras.tree.flatten(raw) if keras.ops.is_tensor(leaf)]
                return self._scores(batch, output, seen.logits), seen.values, leaves

            made: list[Any] = []
            with backend().differentiated(run, shapes) as ((logits, values, leaves), pull_back):
                there = iter(leaves)
                raw = keras.tree.map_structure(
                    lambda leaf: next(there) if keras.ops.is_tensor(leaf) else leaf, made.pop()
                )
                yield self._made(batch, raw, logits, values), pull_back

    # ------------------------------------------------------------------ other weights

    def weighted_layers(self, batch: Batch) -> list[str]:
        """The layers that have weights of their own, in the order they run."""
        with self.exclusive():
            return weighted_layers(self._layers, self._course(batch.images(slice(1))))

    def redrawn(self, batch: Batch, seed: int, layers: Collection[str] | None) -> KerasRuntime:
        """The runtime of a copy with weights drawn anew.

        Raises:
            ModelError: if the model cannot be copied, or keeps weights as whole numbers.
        """

        def run(model: Any) -> object:
            with backend().running():
                return self.decoder.call(caller(model), self._tensors(batch))

        with self.exclusive():
            twin = copied(self.model, run)
            redraw(twin, run, self._course(batch), seed, layers)
        return KerasRuntime(twin, self.decoder)

    def _before_taps(
        self, batch: Batch, course: Course, at: Collection[int], last: LastActivation | None
    ) -> Kept | None:
        """What is put out until the first of some calls has ended, where it is better run before all that is traced."""
        if not (at and backend().traces_all):
            return None
        first = min(at, key=lambda number: (course[number].end, -number))
        with backend().running():
            kept = Kept(course, first, self._until(batch, first), None)
        # logits that were there before do not depend on what is tapped
        return None if last is not None and last_call(course, last.layer) in kept.values else kept

    # ------------------------------------------------------------------ one run

    def _tensors(self, batch: Batch) -> Batch:
        """The inputs as tensors of the backend."""

        def tensor(value: Any) -> Any:
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
                return value
            if value.dtype.kind == "f":
                return from_numpy(value.astype(self.dtype, copy=False))
            narrow = value.dtype.itemsize > 4 and value.dtype.kind in "iu"
            return from_numpy(value.astype(np.int32) if narrow else value)

        return batch.others(tensor).with_given(tensor(batch.given))

    def _forward(self, tensors: Batch, batch: Batch, watcher: Watcher) -> tuple[Any, Any]:
        """Run the model on tensors.

        Returns:
            What it returned, and what of it the decoder takes.
        """
        with (
            around_calls(self.model, self._layers, watcher) as calls,
            keras.StatelessScope(initialize_variables=False),
            explaining_refusals(self.model, batch),
        ):
            raw = self.decoder.call(self._call, tensors)
        if not watcher.gives_again:
            self._courses.put(batch.signature, tuple(calls))
        return raw, self.decoder.logits(raw)

    def _course(self, batch: Batch) -> Course:
        known = self._courses.known(batch.signature)
        if known is None:  # every whole run notes it
            self._found.put(batch.signature, self._examined(batch))
            known = self._courses.known(batch.signature)
            assert known is not None
        return known

    def _kept(self, batch: Batch, layer: str, rows_along: int) -> Kept:
        """What is put out until the layer's last call has ended.

        Where nothing but what the layer puts out counts for what follows it, the rest may be of any image: it is kept
        for all batches.
        """
        course = self._course(batch)
        at = _called(course, layer)
        key = (batch.signature, at)

        def alone() -> Kept | None:
            first = batch.images(slice(1))
            kept = self._kept_of(first, course, at)
            return replace(kept, rows=None) if self._counts_alone(first, kept, rows_along) else None

        return self._alone.get(key, alone) or self._kept_of(batch, course, at)

    def _counts_alone(self, image: Batch, kept: Kept, rows_along: int) -> bool:
        """Whether what follows a layer answers the same, to the bit, whatever was put out before, for any rows.

        Noise of one size would not do: a ReLU that is dead on this image, a black one say, may not be woken by it.
        """
        value = kept.values[kept.at]
        if sum(keras.ops.is_tensor(leaf) for leaf in keras.tree.flatten(value)) != 1:
            return False
        rng = np.random.default_rng(0)

        def noisy(times: float) -> dict[int, Any]:
            def noise(leaf: Any) -> Any:
                if not is_float(leaf):
                    return leaf
                size = times * (1 + float(np.abs(to_numpy(leaf)).max(initial=0)))
                drawn = size * rng.standard_normal(leaf.shape)
                return from_numpy(drawn, keras.backend.standardize_dtype(leaf.dtype))

            return {n: keras.tree.map_structure(noise, one) for n, one in kept.values.items()}

        two, answers = image.images(np.zeros(2, dtype=np.int64)), []
        twice = with_first_float(value, lambda leaf: keras.ops.repeat(leaf, 2, axis=rows_along))
        for values in (kept.values, noisy(1), noisy(100)):
            suffix = Suffix(kept.course, {**values, kept.at: twice})
            try:
                _, output = self._forward(self._tensors(two), two, _SeenAfter(suffix.before, kept, None))
            except (
                Exception
            ):  # a row of another size does not go with the two: whatever the model says, it counts
                return False
            answers.append(to_numpy(output))
        return all(np.array_equal(answers[0], answer, equal_nan=True) for answer in answers[1:])

    def _kept_of(self, batch: Batch, course: Course, at: int) -> Kept:
        values = self._until(batch, at)
        if len(batch) > 1:
            return Kept(course, at, values, None)

        def rows() -> Mapping[int, list[Any]]:
            twice = self._until(batch.images(np.zeros(2, dtype=np.int64)), at)
            return {n: _rows(value, twice[n]) for n, value in values.items()}

        return Kept(course, at, values, self._rows.get((batch.signature, at), rows))

    def _until(self, batch: Batch, at: int) -> dict[int, Any]:
        """What is put out until a call has ended, by the numbers of the calls."""
        prefix = Prefix(at)
        with suppress(Reached):
            self._forward(self._tensors(batch), batch, prefix)
        return prefix.kept

    def _made(self, batch: Batch, raw: Any, logits: Any, values: Mapping[str, Any]) -> Run:
        """A run's tensors as arrays.

        Raises:
            ModelError: if the model's output is not the softmax, or the sigmoid, of the logits that were found.
        """
        last, ending = self._ending(batch).last, self._ending(batch).ending
        arrays = keras.tree.map_structure(
            lambda leaf: to_numpy(leaf) if keras.ops.is_tensor(leaf) else leaf, raw
        )
        scores = to_numpy(logits)
        if last is not None and not last.makes(self.decoder.logits(arrays), scores):
            raise ModelError(
                f"On the first image the model's output was the {last.kind} of the {last.where} of {last.layer!r}; on "
                "these inputs it is not, so where the logits are cannot be told. Pass Explainer(model, output=…)."
            )
        there = {
            name: to_numpy(value)
            for name, value in values.items()
            if is_float(value) and backend().is_there(value)
        }
        return Run(arrays, scores, ending, there)

    # ------------------------------------------------------------------ logits

    def _ending(self, batch: Batch) -> _Found:
        """Where the logits are, found on the first image and on noise."""
        return self._found.get(batch.signature, lambda: self._examined(batch))

    def _examined(self, batch: Batch) -> _Found:
        two = _with_another(batch)
        met = Candidates()
        with backend().running():
            _, tensor = self._forward(self._tensors(two), two, met)
        if not is_float(tensor):
            return _Found()
        output = to_numpy(tensor)
        last = met.found(output)
        if last is not None:
            return _Found(last, Ending(softmax=last.kind == "softmax", sigmoid=last.kind == "sigmoid"))
        axes = [axis for axis in (output.ndim - 1, 1) if output.ndim > 1 and are_probabilities(output, axis)]
        if any(output.shape[axis] > 1 for axis in axes):
            return _Found(None, Ending(probabilities=True))
        return _Found(None, Ending(between_0_and_1=bool((output >= 0).all() and (output <= 1).all())))

    def _scores(self, batch: Batch, output: Any, logits: Any) -> Any:
        """The logits; where only what was made of them is at hand, they are made of that."""
        found, ops = self._ending(batch), keras.ops
        if found.last is None:
            return output
        if logits is not None:
            return logits if logits.shape == output.shape else ops.reshape(logits, output.shape)
        least = float(np.finfo(np.float32).tiny)
        logarithms = ops.log(ops.maximum(output, least))
        if found.ending.sigmoid:
            return logarithms - ops.log(ops.maximum(1 - output, least))
        return logarithms - ops.mean(logarithms, axis=found.last.axis, keepdims=True)


@dataclass(frozen=True)
class _Found:
    """How a model's output is made.

    Attributes:
        last: where the logits are, if they are somewhere.
        ending: the same for everyone.
    """

    last: LastActivation | None = None
    ending: Ending = field(default_factory=Ending)


def _called(course: Course, layer: str) -> int:
    at = last_call(course, layer)
    if at is None:
        raise ModelError(f"The model does not call its layer {layer!r}.")
    return at


def _rows(one: Any, two: Any) -> list[Any]:
    leaves = zip(keras.tree.flatten(one), keras.tree.flatten(two), strict=True)
    return [how_it_grows(a, b) for a, b in leaves if keras.ops.is_tensor(a)]


def _with_another(batch: Batch) -> Batch:
    """The first image, and another input in its place: noise, or its tokens in another order."""
    two = batch.images(np.zeros(2, dtype=np.int64))
    given = two.given.copy()
    if given.dtype.kind == "f":
        given[1] = given[1].mean() + (given[1].std() or 1) * np.random.default_rng(0).standard_normal(
            given[1].shape
        )
    else:
        given[1] = given[1][..., ::-1]
    return two.with_given(given)


class _Seen(Watcher):
    """Keeps what some layers put out at their last calls, and the logits."""

    def __init__(self, names: Collection[str], last: LastActivation | None) -> None:
        self.names, self.last = names, last
        self.values: dict[str, Any] = {}
        self.logits: Any = None

    def after(self, number: int, call: Call, given: Any, value: Any) -> Any:
        if call.layer in self.names and (tensor := first_float(value)) is not None:
            self.values.pop(call.layer, None)
            self.values[call.layer] = tensor
        self.note(call.layer, "input", given)
        self.note(call.layer, "output", value)
        return value

    def activates(self, name: str, given: Any) -> None:
        self.note(name, "activation", given)

    def note(self, name: str, where: str, value: Any) -> None:
        """Keep it, if it is the logits."""
        if self.last is not None and (name, where) == (self.last.layer, self.last.where):
            self.logits = first_float(value)


class _SeenAfter(_Seen):
    """The logits of a run in which something is given again."""

    gives_again = True

    def __init__(
        self, before: Callable[[int, str], tuple[Any, int] | None], kept: Kept, last: LastActivation | None
    ) -> None:
        super().__init__((), last)
        self._before, self._at = before, kept.at

    def before(self, number: int, name: str) -> tuple[Any, int] | None:
        found = self._before(number, name)
        if found is not None and number == self._at:
            self.note(name, "output", found[0])
        return found


class _Tapped(_Seen):
    """What some calls put out is tapped; what was put out before the first of them may be given again."""

    def __init__(
        self, at: Mapping[int, str], tap: Tap, last: LastActivation | None, kept: Kept | None
    ) -> None:
        super().__init__((), last)
        self._at, self._tap = at, tap
        self._suffix: Suffix | None = None
        if kept is not None:
            self.gives_again = True
            self._suffix = kept.suffix(0, lambda value: self._tapped(at[kept.at], value))

    def before(self, number: int, name: str) -> tuple[Any, int] | None:
        return None if self._suffix is None else self._suffix.before(number, name)

    def after(self, number: int, call: Call, given: Any, value: Any) -> Any:
        if number in self._at:
            value = self._tapped(call.layer, value)
        return super().after(number, call, given, value)

    def _tapped(self, layer: str, value: Any) -> Any:
        tensor = first_float(value)
        if tensor is None:
            raise ModelError(f"The layer {layer!r} puts out no real numbers.")
        self.values[layer] = self._tap(layer, tensor)
        return with_first_float(value, lambda _: self.values[layer])
