"""Runs an ONNX graph, and the part after any of its layers. See `camscope.models.runtime.Runtime`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import numpy as np
import onnx
from jaxtyping import Float, Int, Shaped

from camscope.errors import InputError, LayerError, ModelError, nearest
from camscope.models.batch import Batch
from camscope.models.decoding import OutputDecoder
from camscope.models.layer import has_batch_second
from camscope.models.onnx.cutting import Cut, cut_after, part_of, up_to
from camscope.models.onnx.declared_inputs import declared_inputs
from camscope.models.onnx.fingerprint import description
from camscope.models.onnx.onnx_graph import OnnxGraph, tensor_of
from camscope.models.onnx.onnx_model import OnnxModel
from camscope.models.onnx.products import product
from camscope.models.onnx.quantised import last_linear, with_real_numbers
from camscope.models.onnx.row_by_row import Together
from camscope.models.onnx.score_tensor import Scores, ending_of, find_scores
from camscope.models.onnx.sessions import Sessions, said
from camscope.models.runtime import Part, Run, RunAfter


class OnnxRuntime:
    """Runs one ONNX model.

    Args:
        model: the model.
        decoder: what it returns means.
    """

    framework = "ONNX Runtime"
    differentiates = False

    def __init__(self, model: OnnxModel, decoder: OutputDecoder) -> None:
        self.model = model
        self.decoder = decoder
        self.graph = OnnxGraph(with_real_numbers(model))
        self.inputs = declared_inputs(self.graph)
        self._sessions = Sessions(model)
        self._fixed = max((one.batch for one in self.inputs.values() if one.batch is not None), default=1)
        self._whole = Together(self._fixed)
        self._after: dict[str, Together] = {}
        self._types: dict[str, np.dtype] = {}
        self._second: dict[str, bool] = {}
        """Of tensors that may have their batch second, whether they have."""
        self._known: WeakKeyDictionary[Batch, dict[str, np.ndarray]] = WeakKeyDictionary()
        self._reading: _Reading | None = None

    # ------------------------------------------------------------------ what it is

    @cached_property
    def dtype(self) -> np.dtype:
        """The precision of the first input of real numbers; of a model of token numbers, single precision."""
        real = (one.dtype for one in self.inputs.values() if one.dtype.kind == "f")
        return next(real, np.dtype(np.float32))

    @cached_property
    def pixels(self) -> tuple[int, int] | None:
        """The least and the greatest number of an input of whole ones, as the bytes of photos are; else None."""
        several_axes = (one for one in self.inputs.values() if one.shape is not None and len(one.shape) > 2)
        first = next(several_axes, None)
        if first is None or not first.is_pixels:
            return None
        limits = np.iinfo(first.dtype)
        return int(limits.min), int(limits.max)

    def exclusive(self) -> AbstractContextManager[None]:
        """Sessions may run in several threads at once, and nothing is changed, so nobody waits."""
        return nullcontext()

    def is_tensor(self, value: Any) -> bool:
        """Whether it is an array as one of the inputs takes it: of its kind of numbers, with as many axes."""
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            return False
        return any(one.takes(value) for one in self.inputs.values())

    def parts(self) -> Sequence[Part]:
        """The nodes that depend on the input."""
        return self.graph.parts()

    @cached_property
    def attention_layers(self) -> Sequence[str]:
        """The softmaxes whose output weights the values of tokens, in the order they run."""
        return self.graph.attention_layers()

    def name_of(self, layer: Any) -> str | None:
        """The name of a layer that is given as a node of the graph, or as the name of the tensor it puts out."""
        if isinstance(layer, onnx.NodeProto):
            layer = next(iter(layer.output), None)
        if isinstance(layer, onnx.ValueInfoProto):
            layer = layer.name
        return self.graph.names.get(layer) if isinstance(layer, str) else None

    def describe(self) -> Mapping[str, Any]:
        """What the model is."""
        return self._description

    @cached_property
    def _description(self) -> Mapping[str, Any]:
        return description(self.model, self.dtype)

    # ------------------------------------------------------------------ running it

    def run(self, batch: Batch, watched: Collection[str] | None = ()) -> Run:
        """Run the model."""
        reading = self._read(batch)
        layers = self.graph.layers
        names = [name for name in layers if watched is None or name in watched]
        found = self._values(batch, [*reading.wanted, *(tensor_of(layers[name]) for name in names)])
        values = {
            name: self._side_by_side(value, len(batch))
            for name in names
            if (value := found.get(tensor_of(layers[name]))) is not None and value.dtype.kind == "f"
        }
        return self._as_run(reading, found, values)

    def _side_by_side(self, value: Shaped[np.ndarray, " ..."], rows: int) -> Shaped[np.ndarray, " ..."]:
        """What a layer put out for some rows, which stand side by side where it has its batch second.

        Where they ran one by one, they came one behind the other.
        """
        apart = self._whole.allowed is False and self._fixed == 1 < rows
        if not apart or value.ndim != 3 or not has_batch_second((len(value) // rows, *value.shape[1:])):
            return value
        return np.concatenate(np.split(value, rows), axis=1)

    def after(self, batch: Batch, layer: str, rows_along: int = 0) -> RunAfter:
        """The part of the model after a layer. See `camscope.models.runtime.Runtime.after`.

        Raises:
            LayerError: if there is no such layer.
        """
        if layer not in self.graph.layers:
            raise LayerError(f"There is no layer {layer!r}.{nearest(layer, self.graph.layers)}")
        reading, tensor = self._read(batch), tensor_of(self.graph.layers[layer])
        cut = cut_after(self.graph, tensor, reading.wanted)
        beside = [*cut.kept, *cut.measured, *cut.beside]
        if tensor not in self._types:
            beside.append(tensor)
        found = dict(self._values(batch, beside)) if beside else {}
        run_part = _Part(self, cut, found, batch, rows_along)
        together = self._after.setdefault(layer, Together(self._fixed))

        def run_after(rows: Shaped[np.ndarray, " ..."]) -> Run:
            given, count = rows.astype(self._types[tensor], copy=False), rows.shape[rows_along]
            made = together.run(lambda some: run_part(given, some), count, run_part.outputs)
            every = np.arange(count)
            others = {name: run_part.of_rows(name, every) for name in cut.beside}
            return self._as_run(reading, {**others, **made, tensor: given}, {})

        return run_after

    def between(
        self, batch: Batch, layer: str, later: str, rows_along: tuple[int, int] = (0, 0)
    ) -> Callable[[Shaped[np.ndarray, " ..."]], Shaped[np.ndarray, " ..."]] | None:
        """From what a layer puts out to what a later one does; None if the later one does not depend on it."""
        tensor, wanted = (tensor_of(self.graph.layers[name]) for name in (layer, later))
        cut = cut_after(self.graph, tensor, [wanted])
        if not cut.outputs:
            return None
        found = self._values(batch, [*cut.kept, *cut.measured, tensor])
        along, later_along = rows_along
        run_part = _Part(self, cut, found, batch, along)
        together = Together(self._fixed)

        def run_between(rows: Shaped[np.ndarray, " ..."]) -> Shaped[np.ndarray, " ..."]:
            given, count = rows.astype(self._types[tensor], copy=False), rows.shape[along]

            def run(some: Int[np.ndarray, " some"]) -> Mapping[str, np.ndarray]:
                return {wanted: np.swapaxes(run_part(given, some)[wanted], 0, later_along)}

            return np.swapaxes(together.run(run, count, [wanted])[wanted], 0, later_along)

        return run_between

    def read_head(
        self, batch: Batch
    ) -> tuple[Float[np.ndarray, "output channel"], Float[np.ndarray, " output"]] | None:
        """The weights and biases of a quantised model's last linear operator; None of any other model."""
        reading = self._read(batch)
        found = last_linear(self.graph, reading.scores.tensor) if self.graph.is_quantised else None
        if found is None:
            return None
        names = [name for name in (found.weight, found.bias) if name]
        read = [f"{name}_camscope_read" for name in names]
        nodes = [*found.nodes]
        nodes += [onnx.helper.make_node("Identity", [a], [b]) for a, b in zip(names, read, strict=True)]
        session = self._sessions.of(("head",), lambda: up_to(self.graph, read, nodes))
        weight, *bias = session.run(read, self._given(batch.images(slice(1))))
        return found.arranged(weight, bias[0] if bias else None)

    def product(
        self, a: Float[np.ndarray, "row inner"], b: Float[np.ndarray, "inner column"]
    ) -> Float[np.ndarray, "row column"]:
        """The matrix product, by ONNX Runtime on the CPU."""
        return product(a, b)

    def differentiated(self, batch: Batch, layers: Collection[str]) -> NoReturn:
        """It cannot be."""
        raise ModelError("ONNX Runtime runs models forward only: it has no gradients.")

    def with_batch_second(self, tensors: Iterable[str], batch: Batch) -> Collection[str]:
        """Which of some tensors have a batch along their second axis; that they are long enough there is known.

        It is tried: of an image twice such a tensor is as long as of it once. Where images run one by one, theirs
        stand one behind the other, whatever each is by itself.
        """
        unknown = [name for name in tensors if name not in self._second]
        if unknown:
            once, twice = (self._values(batch.images(np.zeros(n, np.int64)), unknown) for n in (1, 2))
            apart = self._whole.allowed is False
            self._second |= {name: not apart and len(once[name]) == len(twice[name]) for name in unknown}
        return {name for name in tensors if self._second[name]}

    def part_session(self, cut: Cut) -> Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]:
        """Runs a part of the graph, given what it begins at, what is kept and the shapes."""
        types = {name: self._types[name] for name in (cut.tensor, *cut.kept)}
        session = self._sessions.of(
            ("after", cut.tensor, cut.outputs), lambda: part_of(self.graph, cut, types)
        )
        names = [name for name in cut.outputs if name != cut.tensor]
        return lambda feeds: dict(zip(names, session.run(names, dict(feeds)), strict=True))

    def _values(
        self, batch: Batch, tensors: Sequence[str], together: Together | None = None
    ) -> Mapping[str, np.ndarray]:
        """Some tensors of the graph, for a batch. Those of one image are kept as long as its batch is."""
        known = self._known.setdefault(batch, {}) if len(batch) == 1 else {}
        if tensors and all(name in known for name in tensors):
            return known
        given, rows = self._given(batch), len(batch)
        together = self._whole if together is None else together
        reading, judged = self._reading, []
        if reading is not None and together.allowed is None:
            judged = [name for name in (reading.output, reading.scores.tensor) if name]
        names = list(dict.fromkeys([*tensors, *judged]))
        session = self._sessions.of(("up to", tuple(names)), lambda: up_to(self.graph, names))

        def run(some: Int[np.ndarray, " some"]) -> Mapping[str, np.ndarray]:
            every = len(some) == rows and bool((some == np.arange(rows)).all())
            feeds = {
                name: value if every or not value.ndim or len(value) != rows else value[some]
                for name, value in given.items()
            }
            try:
                return dict(zip(names, session.run(names, feeds), strict=True))
            except Exception as error:  # its errors share no base but this
                raise InputError(self._refused(feeds, error)) from error

        found = together.run(run, rows, judged)
        self._types.update((name, value.dtype) for name, value in found.items())
        known.update(found)
        return {**known, **found}

    def _given(self, batch: Batch) -> dict[str, np.ndarray]:
        """What each input of the graph is given.

        Raises:
            InputError: if one is missing, unknown, or of another shape than it is declared with.
        """
        if len(batch.args) > len(self.inputs):
            raise InputError(f"{len(batch.args)} inputs were given; {self._takes}")
        given = dict(zip(self.inputs, batch.args, strict=False))
        for name, value in batch.kwargs.items():
            if name not in self.inputs:
                raise InputError(f"There is no input {name!r}.{nearest(name, self.inputs)} {self._takes}")
            given[name] = value
        missing = [name for name in self.inputs if name not in given]
        if missing:
            raise InputError(f"The input {', '.join(missing)} is missing. {self._takes}")
        return {name: self.inputs[name].array(value, self._takes) for name, value in given.items()}

    @property
    def takes(self) -> str:
        """What the model takes, in words: each input with its kind of numbers and its shape."""
        return "; ".join(one.describe() for one in self.inputs.values())

    @property
    def _takes(self) -> str:
        return f"{self.model.name} takes {self.takes}."

    def _refused(self, feeds: Mapping[str, np.ndarray], error: Exception) -> str:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in feeds.items())
        return f"{self.model.name} does not run on {shapes}. {self._takes} ONNX Runtime says: {said(error)}"

    # ------------------------------------------------------------------ what it puts out

    def _read(self, batch: Batch) -> _Reading:
        """Where the scores are; found on the first batch, from its first image and another input."""
        if self._reading is None:
            self._given(batch)  # refuses it as it was given
            some = _with_another(batch)
            alone = Together(self._fixed, allowed=False)

            def values(tensors: Sequence[str]) -> Mapping[str, np.ndarray]:
                return self._values(some, tensors, alone)

            found = values(self.graph.outputs)
            logits = self._logits(self._raw(found))
            output = next((name for name in self.graph.outputs if found.get(name) is logits), None)
            found_in = None if output is None else find_scores(self.graph, output, values)
            scores = found_in or Scores("", ending_of(logits))
            tensors = dict.fromkeys((*self.graph.outputs, scores.tensor))
            self._reading = _Reading(output, scores, tuple(name for name in tensors if name))
        return self._reading

    def _as_run(
        self, reading: _Reading, found: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]
    ) -> Run:
        raw = self._raw(found)
        logits = self._logits(raw)
        if reading.output is not None and reading.scores.tensor != reading.output:
            logits = found[reading.scores.tensor].reshape(logits.shape)
        return Run(raw, logits, reading.scores.ending, values)

    def _raw(self, found: Mapping[str, np.ndarray]) -> Any:
        """What the model returned: an array, or several by name."""
        outputs = self.graph.outputs
        return (
            found[outputs[0]]
            if len(outputs) == 1
            else {name: found[name] for name in outputs if name in found}
        )

    def _logits(self, raw: Any) -> np.ndarray:
        logits: np.ndarray = self.decoder.logits(raw)
        if logits.dtype.kind != "f":
            raise ModelError(
                f"The model's output is of whole numbers ({logits.dtype}): labels, not scores. Of its outputs "
                f"({', '.join(self.graph.outputs)}) say which holds the scores: Explainer(model, output=…)."
            )
        return logits


@dataclass(frozen=True)
class _Reading:
    """Where the scores are.

    Attributes:
        output: the output they are made to; None if a function makes them of the outputs.
        scores: the tensor they are read from.
        wanted: the tensors that every run must give.
    """

    output: str | None
    scores: Scores
    wanted: tuple[str, ...]


class _Part:
    """Runs a part of the graph on some rows.

    Args:
        runtime: of the model.
        cut: the part.
        found: what was made beside it.
        batch: of which that was made.
        rows_along: the axis of the tensor it begins at along which the rows stand.
    """

    def __init__(
        self,
        runtime: OnnxRuntime,
        cut: Cut,
        found: Mapping[str, np.ndarray],
        batch: Batch,
        rows_along: int,
    ) -> None:
        self.outputs = tuple(name for name in cut.outputs if name != cut.tensor)
        self._cut, self._found, self._images, self._rows_along = cut, found, len(batch), rows_along
        shapes = {name: found[name].shape for name in (*cut.kept, *cut.measured, *cut.beside)}
        may = [name for name, shape in shapes.items() if len(shape) == 3 and shape[1] == len(batch)]
        self._second = runtime.with_batch_second(may, batch)
        self._run = runtime.part_session(cut) if self.outputs else None

    def __call__(
        self, given: Shaped[np.ndarray, " ..."], some: Int[np.ndarray, " some"]
    ) -> Mapping[str, np.ndarray]:
        """What it puts out for the rows with these numbers."""
        if self._run is None:
            return {}
        count = given.shape[self._rows_along]
        whole = len(some) == count and bool((some == np.arange(count)).all())
        feeds = {self._cut.tensor: given if whole else np.take(given, some, axis=self._rows_along)}
        feeds.update((name, self.of_rows(name, some)) for name in self._cut.kept)
        for node in self._cut.shapes:
            feeds[node.output[0]] = self._shape(node, len(some))
        return self._run(feeds)

    def of_rows(self, name: str, some: Int[np.ndarray, " some"]) -> np.ndarray:
        """A tensor made beside the part, as it is of these rows: of one image, the same for all."""
        value, index = self._found[name], some if self._images > 1 else np.zeros_like(some)
        if name in self._second:
            second: np.ndarray = value[:, index]
            return second
        if not value.ndim or len(value) % self._images:
            return value
        of_each = value.reshape(self._images, -1, *value.shape[1:])
        rows: np.ndarray = of_each[index].reshape(-1, *value.shape[1:])
        return rows

    def _shape(self, node: onnx.NodeProto, rows: int) -> Int[np.ndarray, " axis"]:
        """The shape that a node reads, for so many rows."""
        name = node.input[0]
        shape = list(self._found[name].shape)
        if name in self._second:
            shape[1] = rows
        elif shape and shape[0] % self._images == 0:
            shape[0] = shape[0] // self._images * rows
        limits = {attribute.name: attribute.i for attribute in node.attribute}
        return np.array(shape[limits.get("start", 0) : limits.get("end")], np.int64)


def _with_another(batch: Batch) -> Batch:
    """The first image, and another input: noise as strong as it, or its tokens in another order."""
    two = batch.images(np.zeros(2, np.int64))
    given = np.asarray(two.given).copy()
    if given.dtype.kind == "f":
        noise = np.random.default_rng(0).standard_normal(given.shape[1:])
        given[1] = given[0].mean() + noise * (given[0].std() or 1)
    else:
        given[1] = given[0][..., ::-1]
    return two.with_given(given)
