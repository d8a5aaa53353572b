"""What a run of an image and of altered copies shows of a model: which layers have a grid, and where."""

from __future__ import annotations

from dataclasses import dataclass

from camscope.errors import CamscopeError, LayerError, nearest
from camscope.models.batch import Batch
from camscope.models.grid import candidate_grids
from camscope.models.layer import Layer, without_grid
from camscope.models.observing import is_dense
from camscope.models.place import answer, find_grid, with_altered_copies
from camscope.models.runtime.runs import Part, Runtime
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
    layers: list[Layer] = []
    unchanged: set[str] = set()
    met: list[tuple[int, ...]] = []
    shape_of_input = image.x.shape if not image.of_tokens else (1, 1, *image.x.shape[1:])
    for name, values in run.values.items():
        if values.shape[0] != len(copies):
            continue
        part = parts.get(name, Part(name, "", outline=False))
        answered = answer(values[0], list(values[1:]))
        if not answered.changed:
            unchanged.add(name)
        candidates = candidate_grids(values[:1].shape, shape_of_input, met)
        grid = find_grid(answered, candidates, keeps_axes=part.keeps_axes)
        if grid is not None:
            if not grid.layout.startswith("tokens"):
                met.append(grid.space)
            layers.append(
                Layer(
                    name,
                    part.kind,
                    values[:1].shape,
                    grid,
                    1,
                    part.outline,
                    not part.pools,
                    in_place=max(0.0, answered.agreement(grid)),
                )
            )
    logits = scoring.logits(run, copies)
    return Shown(
        layers=tuple(layers),
        shapes={name: (1, *values.shape[1:]) for name, values in run.values.items()},
        unchanged=frozenset(unchanged),
        parts=parts,
        dense=is_dense(logits, copies.x),
        outputs=logits.shape[1] if logits.ndim > 1 else 1,
    )
