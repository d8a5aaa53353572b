"""The compiled programs of one model, each traced once for inputs of its shape."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from camscope.errors import CamscopeError, InputError, ModelError
from camscope.models.batch import Batch
from camscope.models.decoding import OutputDecoder
from camscope.models.jax.call_arguments import CallArguments
from camscope.models.jax.last_equations import EndKind, with_scores_before_the_end
from camscope.models.jax.states import States
from camscope.models.jax.tapped_run import Record, TappedRun, Wanted
from camscope.models.jax.taps import Tappable
from camscope.models.last_used import LastUsed
from camscope.models.runtime import INPUT

PROGRAMS = 64
"""So many programs are kept; the one that was not used for longest makes room."""

STRUCTURES = 4
"""So many structures of the model are told apart: another is met where the user changes a layer, or its mode."""

_Made = TypeVar("_Made", bound="Program")


@dataclass(frozen=True, eq=False)
class Call:
    """One call of the model, ready to be run.

    Attributes:
        given: what it is called with.
        structure: the model without its arrays.
        arrays: the model's arrays.
        key: equal for calls that the same programs can run.
    """

    given: CallArguments
    structure: Any
    arrays: Any
    key: Hashable


@dataclass
class Program:
    """A compiled program.

    Attributes:
        run: gives the scores before the model's end (None where no end is seen), the scores that the model returns,
            all arrays that it returns, and what the watched layers put out (`Record.kept`).
        record: what tracing it showed; empty until it ran.
        end: the end that was seen, likewise.
    """

    run: Callable[..., tuple[Any, Any, Sequence[Any], Sequence[Any]]]
    record: Record
    end: EndKind | None = None


@dataclass
class GradientProgram(Program):
    """A compiled program that gives, as its last output, how gradients go back from the scores to the layers.

    Attributes:
        back: takes this and weights of the scores; gives the gradients by layer.
    """

    back: Callable[[Any, Any], Mapping[str, Any]] = lambda back, weights: _not_yet()


class Programs:
    """Makes and keeps the programs of one model.

    Args:
        model: the model.
        states: tells its structure and its arrays.
        decoder: how it is called, and where its scores are.
        ends: whether the scores before a final softmax or sigmoid are meant.
    """

    def __init__(self, model: Tappable, states: States, decoder: OutputDecoder, *, ends: bool = True) -> None:
        self._model, self._states, self._decoder, self._ends = model, states, decoder, ends
        self._structures: list[tuple[int, Any]] = []
        self._met = 0
        self._surveys: LastUsed[Record] = LastUsed(PROGRAMS)
        self._programs: LastUsed[Any] = LastUsed(PROGRAMS)
        self._opaque: set[Hashable] = set()

    def call(self, batch: Batch) -> Call:
        """A call of the model as it is now."""
        structure, arrays = self._states.now()
        given = CallArguments.of(batch)
        return Call(given, structure, arrays, (self._number(structure), given.key))

    def survey(self, call: Call) -> Record:
        """What one run shows without being run: which layers are called, how often, and the shapes of their outputs.

        Raises:
            InputError: if the model does not run on such inputs.
            ModelError: if it cannot be traced, or returns no scores.
        """
        return self._surveys.get(call.key, lambda: self._surveyed(call))

    def distrust_end(self, call: Call) -> None:
        """Take what the model returns for its scores from now on, since the end that is seen is not what it does."""
        self._opaque.add(call.key)

    def forward(self, call: Call, watched: frozenset[str] | None) -> Program:
        """The model's run: a function of its arrays and its inputs."""

        def make() -> Program:
            program = Program(_not_yet, Record())
            seen = self._seen(call, Wanted(watched), program)
            program.run = jax.jit(lambda arrays, inputs: seen(arrays, inputs, {}, {}))
            return program

        return self._kept((call.key, "forward", watched), call, make)

    def after(self, call: Call, layer: str) -> Program:
        """The part after a layer: a function of the arrays, the inputs, and as many rows of what the layer puts out.

        The program knows no other use of the part before the layer, so what leads to the layer alone is not run.
        """
        wanted = Wanted(calls=self._calls(call, [layer]))

        def make() -> Program:
            program = Program(_not_yet, Record())
            seen = self._seen(call, wanted, program)
            program.run = jax.jit(lambda arrays, inputs, rows: seen(arrays, inputs, {layer: rows}, {}))
            return program

        return self._kept((call.key, "after", layer), call, make)

    def after_one(self, call: Call, layer: str, rows_along: int) -> Program:
        """The same for an image by itself, with any number of rows.

        Each row is a run of its own, mapped over all of them: what is made beside the layer is made once.

        Args:
            call: of the image.
            layer: its name.
            rows_along: the axis along which the rows stand.
        """
        wanted = Wanted(calls=self._calls(call, [layer]))

        def make() -> Program:
            program = Program(_not_yet, Record())
            seen = self._seen(call, wanted, program)

            def run(arrays: Any, inputs: Any, rows: Any) -> Any:
                def of_row(row: Any) -> Any:
                    return seen(arrays, inputs, {layer: jnp.expand_dims(row, rows_along)}, {})

                found = jax.vmap(of_row, in_axes=rows_along)(rows)
                return jax.tree_util.tree_map(_without_single_row, found)

            program.run = jax.jit(run)
            return program

        return self._kept((call.key, "after one", layer, rows_along), call, make)

    def gradients(self, call: Call, layers: Collection[str]) -> GradientProgram:
        """The model's run, linearised from these layers on, for however many weights of the scores."""
        named = [layer for layer in layers if layer != INPUT]
        wanted = Wanted(frozenset(layers), self._calls(call, named))
        shapes = self._shapes(call, layers)

        def make() -> GradientProgram:
            program = GradientProgram(_not_yet, Record())
            seen = self._seen(call, wanted, program)

            def run(arrays: Any, inputs: Any) -> Any:
                def scores(added: Mapping[str, Any]) -> Any:
                    before, returned, raw, values = seen(arrays, inputs, {}, added)
                    return (returned if before is None else before), (before, returned, raw, values)

                nothing = {layer: jnp.zeros(*shape) for layer, shape in shapes.items()}
                of, back, found = jax.vjp(scores, nothing, has_aux=True)
                return *found, (back, jnp.zeros(0, of.dtype))

            program.run = jax.jit(run)
            program.back = jax.jit(lambda back, weights: back[0](weights.astype(back[1].dtype))[0])
            return program

        return self._kept((call.key, "gradients", frozenset(layers)), call, make)

    # ------------------------------------------------------------------

    def _number(self, structure: Any) -> int:
        """Which of the structures that were met this is."""
        for number, known in self._structures:
            if known is structure or known == structure:
                return number
        self._met += 1
        self._structures = [*self._structures[-(STRUCTURES - 1) :], (self._met, structure)]
        return self._met

    def _kept(self, key: Hashable, call: Call, make: Callable[[], _Made]) -> _Made:
        self.survey(call)
        found: _Made = self._programs.get((key, call.key in self._opaque), make)
        return found

    def _run(self, call: Call, wanted: Wanted, record: Record) -> TappedRun:
        return TappedRun(self._model, call.structure, self._decoder, call.given, wanted, record)

    def _seen(self, call: Call, wanted: Wanted, program: Program) -> Callable[..., Any]:
        """A run with the scores before the model's end; which end it is goes into the program."""
        run = self._run(call, wanted, program.record)
        opaque = not self._ends or call.key in self._opaque

        def seen(*inputs: Any) -> Any:
            if opaque:
                scores, (returned, (raw, values)) = None, run(*inputs)
            else:
                program.end, scores, (returned, (raw, values)) = with_scores_before_the_end(run)(*inputs)
            return scores, returned, raw, values

        return seen

    def _calls(self, call: Call, layers: Collection[str]) -> tuple[tuple[str, int], ...]:
        calls = self.survey(call).calls
        return tuple((layer, calls[layer]) for layer in layers)

    def _shapes(self, call: Call, layers: Collection[str]) -> dict[str, tuple[tuple[int, ...], Any]]:
        known, x = self.survey(call).shapes, call.given.batch.given
        rows = (len(call.given.batch),) if self._model.one_by_one else ()
        of_layers = {layer: (rows + known[layer][0], known[layer][1]) for layer in layers if layer != INPUT}
        return {**of_layers, **({INPUT: (tuple(x.shape), x.dtype)} if INPUT in layers else {})}

    def _surveyed(self, call: Call) -> Record:
        record = Record()
        try:
            jax.eval_shape(self._run(call, Wanted(), record), call.arrays, list(call.given.arrays), {}, {})
        except CamscopeError:
            raise
        except _LOOKS_AT_VALUES as error:
            raise ModelError(
                f"{self._name} cannot be compiled by jax.jit, since its Python code looks at the values of arrays: "
                f"{_first_line(error)} Use jax.numpy.where or jax.lax.cond there, or NumPy for what is constant."
            ) from error
        except Exception as error:
            shapes = ", ".join(str(tuple(array.shape)) for array in call.given.arrays)
            raise InputError(
                f"{self._name}, which is called with {self._signature}, does not run on an input of shape {shapes}: "
                f"{type(error).__name__}: {_first_line(error)}{_other_place(call.given.batch.given.shape)}"
            ) from error
        return record

    @property
    def _name(self) -> str:
        return type(self._model.user_model).__name__

    @property
    def _signature(self) -> str:
        return str(inspect.signature(self._model.user_model.__call__))


_LOOKS_AT_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
"""What JAX raises where Python code depends on numbers that are not known yet."""


def _other_place(shape: Sequence[int]) -> str:
    """How channels are put into the other place, of an input that looks as if it had some; a model does not say where.

    Args:
        shape: of the input.
    """
    looks = [axis for axis in (1, -1) if len(shape) > 3 and shape[axis] in (1, 3, 4)]
    if looks == [1]:
        return " Its channels come first; if the model wants them last, pass np.moveaxis(x, 1, -1)."
    if looks == [-1]:
        return " Its channels come last; if the model wants them first, pass np.moveaxis(x, -1, 1)."
    return ""


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else "no message."


def _not_yet(*_: Any) -> Any:
    raise AssertionError("a program is run before it is made")


def _without_single_row(array: Any) -> Any:
    """Of rows of one image each, `row 1 …`, that `1` taken out; what has no such axis stays."""
    return array[:, 0] if array.ndim > 1 and array.shape[1] == 1 else array
