"""Runs a JAX model: compiled, all targets from one linearisation, and the user's model only ever read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from camscope.models.batch import Batch
from camscope.models.decoding import OutputDecoder
from camscope.models.jax.last_equations import agrees
from camscope.models.jax.layer_kinds import parts_of
from camscope.models.jax.on_host import between_0_and_1, probabilities, rounded_up, to_host
from camscope.models.jax.programs import PROGRAMS, Call, GradientProgram, Program, Programs
from camscope.models.jax.states import States
from camscope.models.jax.taps import Tappable
from camscope.models.jax.what_it_is import Weights
from camscope.models.last_used import LastUsed
from camscope.models.observing import Ending
from camscope.models.runtime import Part, PullBack, Run, RunAfter
from camscope.outputs import Task


class JaxRuntime:
    """See `camscope.models.runtime.Runtime`.

    Args:
        model: the model, as a function with taps.
        decoder: how it is called, and where its scores are.
        task: what these mean; of a regression, nothing is taken off the model's end.
    """

    framework = "JAX"
    differentiates = True

    def __init__(self, model: Tappable, decoder: OutputDecoder, task: Task | None = None) -> None:
        self._model, self._task = model, task
        self._states = States(model)
        self._weights = Weights(model, self._states)
        self._programs = Programs(model, self._states, decoder, ends=task != "regression")
        self._of_another: LastUsed[np.ndarray] = LastUsed(PROGRAMS)
        self._kinds: dict[str, Any] = dict(model.layers())

    @property
    def dtype(self) -> np.dtype:
        """The precision of the weights."""
        return self._weights.dtype

    @property
    def takes(self) -> str:
        """By the convention of its library."""
        return self._model.takes

    def exclusive(self) -> AbstractContextManager[None]:
        """The model is only read, so threads need not wait; each sees one state of it all along."""
        return self._states.held()

    def is_tensor(self, value: Any) -> bool:
        """Whether a value is an array of JAX; or one of NumPy that is no photo.

        A NumPy array of real numbers is none with four axes or more; with fewer, where no weight of the model has more
        axes, as the kernel of a two-dimensional convolution has. Whole numbers, if they are no bytes, are tokens.
        """
        if isinstance(value, jax.Array):
            return True
        if not isinstance(value, np.ndarray) or value.ndim < 2:
            return False
        if jnp.issubdtype(value.dtype, jnp.floating):
            return value.ndim >= min(4, self._weights.most_axes)
        return value.dtype.kind in "iu" and value.dtype.itemsize > 1 and value.ndim == 2

    # ------------------------------------------------------------------ the layers

    def parts(self) -> Sequence[Part]:
        """The layers that are known without a run, and those that runs have shown."""
        return parts_of(self._kinds, self._weights.sizes)

    def name_of(self, layer: Any) -> str | None:
        """See `camscope.models.runtime.Runtime.name_of`."""
        return self._model.name_of(layer)

    # ------------------------------------------------------------------ runs

    def run(self, batch: Batch, watched: Collection[str] | None = ()) -> Run:
        """See `camscope.models.runtime.Runtime.run`."""
        rows = padded = len(batch)
        if watched is not None and not watched:  # one of many runs on altered inputs, of some number of rows
            padded = rounded_up(rows)
            batch = batch.images(np.minimum(np.arange(padded), rows - 1)) if padded != rows else batch
        with self._precision():
            call = self._programs.call(batch)
            found = self._ran(call, lambda: self._forward(call, watched))
        return _first_rows(found, padded, rows)

    def _forward(self, call: Call, watched: Collection[str] | None) -> tuple[Program, Any]:
        program = self._programs.forward(call, None if watched is None else frozenset(watched))
        return program, program.run(call.arrays, list(call.given.arrays))

    def after(self, batch: Batch, layer: str, rows_along: int = 0) -> RunAfter:
        """See `camscope.models.runtime.Runtime.after`."""
        with self._precision():
            call = self._programs.call(batch)

        def run(rows: Shaped[np.ndarray, " ..."]) -> Run:
            count = padded = rows.shape[rows_along]
            alone = len(batch) == 1 != count
            if alone:
                padded = rounded_up(count)
                rows = np.take(rows, np.minimum(np.arange(padded), count - 1), axis=rows_along)

            def ran() -> tuple[Program, Any]:
                program = (
                    self._programs.after_one(call, layer, rows_along)
                    if alone
                    else self._programs.after(call, layer)
                )
                return program, program.run(call.arrays, list(call.given.arrays), rows)

            with self._precision():
                return _first_rows(self._ran(call, ran), padded, count)

        return run

    @contextmanager
    def differentiated(self, batch: Batch, layers: Collection[str]) -> Iterator[tuple[Run, PullBack]]:
        """See `camscope.models.runtime.Runtime.differentiated`."""
        kept: list[tuple[GradientProgram, Any]] = []

        def ran() -> tuple[Program, Any]:
            program = self._programs.gradients(call, layers)
            *found, back = program.run(call.arrays, list(call.given.arrays))
            kept[:] = [(program, back)]
            return program, found

        with self._precision():
            call = self._programs.call(batch)
            run = self._ran(call, ran)

        def pull_back(weights: Float[np.ndarray, "batch output *space"]) -> Mapping[str, np.ndarray]:
            ((program, back),) = kept
            with self._precision():
                return {layer: to_host(gradient) for layer, gradient in program.back(back, weights).items()}

        yield run, pull_back

    def _ran(self, call: Call, run: Callable[[], tuple[Program, Any]]) -> Run:
        """What a program gave, on the host; run again where the end that was seen is not the model's, in numbers."""
        program, (before, returned, raw, values) = run()
        self._kinds = {**program.record.kinds, **self._kinds}
        scores = to_host(returned)
        if program.end is None:
            ending = self._unseen_end(call, scores)
        elif agrees(program.end, np.asarray(before), np.asarray(returned)):
            scores, ending = to_host(before), Ending(**{program.end: True})
        else:
            self._programs.distrust_end(call)
            return self._ran(call, run)
        seen: dict[str, np.ndarray] = {}
        for name, value in zip(program.record.kept, values, strict=True):
            first = program.record.same_as.get(name)
            seen[name] = seen[first] if first in seen else to_host(value)
        return Run(program.record.rebuilt([to_host(array) for array in raw]), scores, ending, seen)

    def _unseen_end(self, call: Call, scores: np.ndarray) -> Ending:
        """What the scores are where their making does not show it: probabilities on other inputs too, or logits."""
        if not between_0_and_1(scores) or self._task == "regression":
            return Ending()
        other = self._of_another.get(call.key, lambda: self._scores_of_another(call))
        if probabilities(scores) and probabilities(other):
            return Ending(probabilities=True)
        return Ending(between_0_and_1=between_0_and_1(other))

    def _scores_of_another(self, call: Call) -> np.ndarray:
        """The scores of an input that has nothing to do with the one that is explained."""
        batch = call.given.batch
        mixed = (
            np.random.default_rng(0).permutation(np.asarray(batch.given).ravel()).reshape(batch.given.shape)
        )
        other = self._programs.call(batch.with_given(mixed if batch.of_tokens else -mixed))
        _, (_, returned, _, _) = self._forward(other, ())
        return to_host(returned)

    def _precision(self) -> AbstractContextManager[None]:
        """Double precision where the weights are of that, whatever JAX is set to."""
        return jax.enable_x64(True) if self.dtype == np.float64 else nullcontext()

    # ------------------------------------------------------------------ the record

    def describe(self) -> Mapping[str, Any]:
        """See `camscope.models.adapter.Adapter.describe`."""
        return self._weights.describe()


def _first_rows(run: Run, padded: int, rows: int) -> Run:
    """The first rows of a run that had more."""
    if rows == padded:
        return run

    def cut(value: Any) -> Any:
        return value[:rows] if isinstance(value, np.ndarray) and value.shape[:1] == (padded,) else value

    values = {name: cut(value) for name, value in run.values.items()}
    return Run(jax.tree_util.tree_map(cut, run.raw), cut(run.logits), run.ending, values)
