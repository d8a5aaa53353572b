"""What a run of an image and of altered copies shows of a model: which layers have a grid, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Shaped

from camscope.errors import CamscopeError, LayerError, nearest
from camscope.models.batch import Batch
from camscope.models.grid import NONE_STILL, Still, candidate_grids
from camscope.models.layer import Layer, as_batch_second, has_batch_second, with_batch_first, without_grid
from camscope.models.observing import is_dense
from camscope.models.other_inputs import other_inputs, without_others
from camscope.models.other_tokens import OtherTokens, StillTokens, may_have_others
from camscope.models.place import Answer, answer, find_grid, with_all_altered, with_altered_copies
from camscope.models.runtime.runs import Part, Run, Runtime
from camscope.models.runtime.scoring import Scoring


@dataclass(frozen=True)
class Shown:
    """What one run showed.

    Attributes:
        layers: those with a grid, in the order they put out.
        shapes: the output shape of every layer that was seen, for one image.
        unchanged: those whose output was the same for every altered copy.
        parts: every layer that can be named.
        dense: whether the outputs are scores of every position.
        outputs: how many scores there are, of every position if they are dense.
    """

    layers: tuple[Layer, ...]
    shapes: dict[str, tuple[int, ...]]
    unchanged: frozenset[str]
    parts: dict[str, Part]
    dense: bool
    outputs: int

    def layer(self, name: str) -> Layer:
        """The layer with that name, of those with a grid.

        Raises:
            LayerError: if there is none, it did not run, or it has no grid; the message says where a grid is.
        """
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is not None:
            return found
        if name not in self.shapes:
            if name in self.parts:
                raise LayerError(
                    f"The layer {name!r} puts out no real numbers when the model runs; or it is not run, or inside of "
                    "a transformation (a checkpoint, a scan, a branch) out of which nothing is seen."
                )
            known = [*self.shapes, *self.parts]
            raise LayerError(
                f"There is no layer {name!r}.{nearest(name, known)} `camscope layers` lists those with a grid."
            )
        raise without_grid(name, self.shapes[name], self.layers, unchanged=name in self.unchanged)


def show(runtime: Runtime, scoring: Scoring, image: Batch) -> Shown:
    """Run an image and copies with an altered patch, and see what every layer puts out.

    Args:
        runtime: of the model.
        scoring: tells its scores.
        image: a batch of one.
    """
    copies = image.altered(with_altered_copies(image.x, tokens=image.of_tokens))
    try:
        run = runtime.run(copies, None)
    except CamscopeError:
        runtime.run(
            image
        )  # where it is not the altered copies that it does not take, it says so of the image
        raise
    parts = {part.name: part for part in runtime.parts()}
    answers = _answers(run, len(copies))
    shapes = {name: _of_one(values.shape, len(copies)) for name, values in run.values.items()}
    layers = _layers(shapes, answers, parts, image)
    others = _answers_to_others(runtime, image, layers)
    still: dict[str, Still] = {}
    if may_have_others(shapes.values(), [one.grid for one in layers]):
        still = _still(runtime, image)
    if others or still:
        layers = _layers(shapes, answers, parts, image, others, still)
    logits = scoring.logits(run, copies)
    return Shown(
        layers=layers,
        shapes=shapes,
        unchanged=frozenset(name for name, answered in answers.items() if not answered.changed),
        parts=parts,
        dense=is_dense(logits, copies.x),
        outputs=logits.shape[1] if logits.ndim > 1 else 1,
    )


def _answers(run: Run, rows: int) -> dict[str, Answer]:
    """How layers answer: the first row is of the image, the others of altered copies. Of all that have so many rows."""
    of_rows = {name: _rows_first(values, rows) for name, values in run.values.items()}
    return {name: answer(one[0], list(one[1:])) for name, one in of_rows.items() if len(one) == rows}


def _rows_first(values: Shaped[np.ndarray, " ..."], rows: int) -> Shaped[np.ndarray, " ..."]:
    """What a layer put out for so many rows, with these in front."""
    return np.swapaxes(values, 0, 1) if has_batch_second(values.shape, rows) else values


def _of_one(shape: tuple[int, ...], rows: int) -> tuple[int, ...]:
    """The shape of what a layer puts out for one image, of that for so many rows."""
    return (shape[0], 1, shape[2]) if has_batch_second(shape, rows) else (1, *shape[1:])


def _layers(
    shapes: Mapping[str, tuple[int, ...]],
    answers: Mapping[str, Answer],
    parts: Mapping[str, Part],
    image: Batch,
    others: Mapping[str, Sequence[tuple[int, Answer]]] = MappingProxyType({}),
    still: Mapping[str, Still] = MappingProxyType({}),
) -> tuple[Layer, ...]:
    """The layers with a grid.

    Args:
        shapes: of what layers put out for one image.
        answers: to altered copies of it, of every layer that was run on each of them.
        parts: every layer that can be named.
        image: a batch of one.
        others: how layers answer to other inputs, with how many positions each of these has.
        still: which tokens of each layer's output stay the same for any input.
    """
    layers: list[Layer] = []
    met: list[tuple[int, ...]] = []
    other_tokens = OtherTokens()
    shape_of_input = image.x.shape if not image.of_tokens else (1, 1, *image.x.shape[1:])
    for name, answered in answers.items():
        part = parts.get(name, Part(name, "", outline=False))
        shape = shapes[name]
        candidates = candidate_grids(
            with_batch_first(shape), shape_of_input, met, still.get(name, NONE_STILL), other_tokens.told
        )
        grid = find_grid(answered, candidates, keeps_axes=part.keeps_axes, others=other_tokens)
        if grid is not None:
            in_place = max(0.0, answered.agreement(grid))
            grid = without_others(grid, answered, others.get(name, ()))
        if grid is not None and has_batch_second(shape):
            grid = as_batch_second(grid)
        if grid is None:
            continue
        if not grid.layout.startswith("tokens"):
            met.append(grid.space)
        layers.append(Layer(name, part.kind, shape, grid, 1, part.outline, not part.pools, in_place=in_place))
    return tuple(layers)


def _answers_to_others(
    runtime: Runtime, image: Batch, layers: Sequence[Layer]
) -> dict[str, list[tuple[int, Answer]]]:
    """How layers answer to other inputs, of those along which as many positions stand as along a layer's grid."""
    spaces = {layer.grid.space for layer in layers if len(layer.grid.space) == 1}
    found: dict[str, list[tuple[int, Answer]]] = {}
    for other in other_inputs(image, spaces):
        for name, answered in _answers(runtime.run(other.rows, None), len(other.rows)).items():
            found.setdefault(name, []).append((other.positions, answered))
    return found


def _still(runtime: Runtime, image: Batch) -> dict[str, Still]:
    """Which tokens of each layer's output stay the same when the whole image is altered."""
    rows = image.altered(with_all_altered(image.x, tokens=image.of_tokens))
    tokens = StillTokens()
    values = runtime.run(rows, None).values
    return {name: tokens.of(_rows_first(one, len(rows))) for name, one in values.items()}
