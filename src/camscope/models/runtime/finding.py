"""A model's layers by runs alone: those with a grid, those that reach the score, and the automatic choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from camscope.errors import LayerError
from camscope.models.batch import MUCH_MORE, Batch
from camscope.models.last_used import LastUsed
from camscope.models.layer import Layer
from camscope.models.runtime.runs import RunsBetween, Runtime
from camscope.models.runtime.scoring import Scoring, widened
from camscope.models.runtime.shown import Shown, show
from camscope.models.said_grid import OneGrid, SaidGrid, grid_as_said, said_of

_REMEMBERED = 64
"""Kinds of input (sizes, mostly) of which the layers are remembered."""

_TRIES = 4
"""How often a layer's output is altered at random to see whether the score changes with it."""

_LOOKED_AT = 8
"""How many images are looked at for a named layer that does nothing on the most telling one."""

_NEXT = 4
"""Whether a layer reaches the score is asked of so many later layers that do: behind a concatenation it takes a few
before every channel is made of every other."""

_FIRST = 8
"""Of so many of the deepest layers the gradients are looked at together when one of them is chosen."""

_MOST_STAGES = 4


@dataclass
class _Known:
    """What is known of a model for one signature.

    Attributes:
        shown: what a run showed.
        spread: of the image that it was run on, see `Batch.spreads`.
        choice: the automatic choice and the runners-up, once they were asked for.
    """

    shown: Shown
    spread: float
    choice: list[Layer] | None = None


class LayersByRuns:
    """Knows the layers of one model. What it finds holds for all batches of one signature.

    The image of a batch on which there is most to see stands for all of them. When a batch comes with an image on which
    there is much more to see, the layers are looked for anew.

    Args:
        runtime: of the model.
        scoring: tells its scores.
    """

    def __init__(self, runtime: Runtime, scoring: Scoring) -> None:
        self._runtime = runtime
        self._scoring = scoring
        self._known: LastUsed[_Known] = LastUsed(_REMEMBERED)

    def shown(self, batch: Batch) -> Shown:
        """What a run of the most telling image shows: of this batch, or of an earlier one of the same signature."""
        return self._for(batch).shown

    def choose(self, batch: Batch) -> list[Layer]:
        """The automatic choice, then two runners-up. See `camscope.models.adapter.Adapter.choose`."""
        known = self._for(batch)
        if known.choice is None:
            known.choice = self._choose(batch)
        return known.choice

    def _for(self, batch: Batch) -> _Known:
        """What is known, looked for anew if this batch tells much more than the one on which it was seen."""
        kind, spread = batch.signature, float(batch.spreads.max())
        known = self._known.known(kind)
        if known is None or spread > MUCH_MORE * known.spread:
            known = self._known.put(kind, _Known(self._show(batch.most_telling()), spread))
        return known

    def _show(self, image: Batch) -> Shown:
        return show(self._runtime, self._scoring, image)

    def stages(self, batch: Batch) -> list[Layer]:
        """The last layer of each resolution. See `camscope.models.adapter.Adapter.stages`."""
        choice, layers = self.choose(batch)[0], self.shown(batch).layers
        names = [layer.name for layer in layers]
        before = [layer for layer in layers[: names.index(choice.name)] if layer.eligible and layer.outline]
        last = {layer.grid.space: layer for layer in before if layer.grid.space != choice.grid.space}
        candidates = list(last.values())[-(_MOST_STAGES - 1) :]
        if not candidates:  # one resolution only: evenly spread
            step = max(1, len(before) // _MOST_STAGES)
            candidates = before[::-1][step - 1 :: step][: _MOST_STAGES - 1][::-1]
        reach = self.reaches(batch, candidates)
        return [*(layer for layer, reaches in zip(candidates, reach, strict=True) if reaches), choice]

    def layer(self, batch: Batch, layer: Any, said: SaidGrid | None) -> Layer:
        """The layer with this name, with its grid as it was found or as it was said.

        Raises:
            LayerError: if there is none, or it has no grid.
        """
        name = layer if isinstance(layer, str) else self._runtime.name_of(layer)
        if name is None:
            raise LayerError(
                f"This {type(layer).__name__} is no layer of the model. Give one of its layers or a layer's name; "
                "`camscope layers` lists them."
            )
        grid = said_of(said, name)
        if grid is not None:
            return self._with_said(batch, name, grid)
        known, most_telling = self._for(batch), batch.most_telling(_LOOKED_AT)
        for image in range(len(most_telling)):
            if name in known.shown.shapes and name not in known.shown.unchanged:
                break
            found = self._show(most_telling.images(slice(image, image + 1)))
            if name in {one.name for one in found.layers}:
                known.shown = found
        return known.shown.layer(name)

    def reaches(self, batch: Batch, layers: Sequence[Layer]) -> list[bool]:
        """Whether each layer's positions reach the score at all, for any class."""
        known, image = self._with_gradients(batch, layers), self._looked_at(batch, len(layers))
        found: list[Layer] = []  # the last ones first
        for layer in reversed(layers):
            if (
                layer in known
                or self._reaches_one_of(image, layer, found[: -_NEXT - 1 : -1])
                or self._reaches(image, layer)
            ):
                found.append(layer)
        return [layer in found for layer in layers]

    def _looked_at(self, batch: Batch, layers: int) -> Batch:
        """The most telling image. Where runs are all there is, several layers of it are seen in one."""
        image = batch.most_telling()
        if layers > 1 and isinstance(self._runtime, RunsBetween):
            self._runtime.run(image, None)
        return image

    def _reaches(self, image: Batch, layer: Layer) -> bool:
        return bool(_probe_of_scores(self._runtime, self._scoring, image, layer).reached.any())

    def _reaches_one_of(self, image: Batch, layer: Layer, later: Sequence[Layer]) -> bool:
        """Whether a layer's positions reach every channel of a later one, of which at least one reaches the score.

        A channel that does may be another than those that are reached, so some are not enough: a slice of a
        concatenation leaves out the rest. So for a list of many layers little more is run, mostly, than the whole
        model once.
        """
        return any(_probe_of_layer(self._runtime, image, layer, one) for one in later)

    def _with_gradients(self, batch: Batch, layers: Sequence[Layer]) -> set[Layer]:
        """Those whose positions some output has gradients by: for all layers one run of the most telling image.

        The others may still reach the score, from behind a ReLU that is asleep for this image.
        """
        if not self._runtime.differentiates or not layers:
            return set()
        image = batch.most_telling()
        with self._runtime.differentiated(image, [layer.name for layer in layers]) as (run, pull_back):
            weights = np.random.default_rng(0).standard_normal(run.logits.shape)
            gradients = pull_back(weights.astype(run.logits.dtype))
        found = set()
        for layer in layers:
            gradient = layer.grid.canonical(gradients[layer.name])
            if np.not_equal(_positions_that_count(gradient, batch), 0).any():
                found.add(layer)
        return found

    def _choose(self, batch: Batch) -> list[Layer]:
        shown = self.shown(batch)
        candidates = [layer for layer in reversed(shown.layers) if layer.eligible]
        if not candidates:
            raise self._none_found(shown)
        if shown.dense:
            candidates = _coarsest_first(candidates)
        found: list[Layer] = []
        score_maps: list[Layer] = []
        known, image = (
            self._with_gradients(batch, candidates[:_FIRST]),
            self._looked_at(batch, len(candidates)),
        )
        for layer in candidates:
            if layer not in known and not self._reaches(image, layer):
                continue
            may_be_scores = layer.grid.channels == shown.outputs > 1
            is_score_map = (
                may_be_scores and _probe_of_scores(self._runtime, self._scoring, image, layer).is_score_map()
            )
            (score_maps if is_score_map else found).append(replace(layer, reaches=True))
            if len(found) > 2:
                break
        if not found and not score_maps:
            raise LayerError(
                "No layer's positions reach the score: the outputs stay the same, whatever it puts out."
            )
        return [*found, *score_maps][:3]

    def _none_found(self, shown: Shown) -> LayerError:
        last = ", ".join(f"{name}: {shape}" for name, shape in list(shown.shapes.items())[-3:])
        return LayerError(
            "This model has no layer with a spatial grid, so there is no place on the input to point at. Its last "
            f"layers put out {last or 'nothing'} for one image."
        )

    def _with_said(self, batch: Batch, name: str, said: OneGrid) -> Layer:
        shown = self.shown(batch)
        if name not in shown.shapes:
            return shown.layer(name)  # raises, saying why
        shape = shown.shapes[name]

        def numbered(shape: Sequence[int]) -> np.ndarray:
            return np.arange(math.prod(shape), dtype=np.float64).reshape(tuple(shape))

        grid = grid_as_said(said, name, shape, len(batch.space), numbered)
        kind = shown.parts[name].kind if name in shown.parts else ""
        return Layer(name, kind, shape, grid, 1, outline=False, eligible=False)


def _probe_of_scores(runtime: Runtime, scoring: Scoring, image: Batch, layer: Layer) -> _Probe:
    """What becomes of the scores."""
    after = runtime.after(image, layer.name, layer.batch_axis)
    batch = image.images(np.zeros(_TRIES, dtype=np.int64))

    def logits(rows: Shaped[np.ndarray, " ..."]) -> np.ndarray:
        found = scoring.logits(after(rows), batch)
        return found[:, None] if found.ndim == 1 else found

    return _Probe(runtime, image, layer, logits)


def _probe_of_layer(runtime: Runtime, image: Batch, layer: Layer, later: Layer) -> bool:
    """Whether something becomes of every channel of a later layer, at the positions that count."""
    between = (
        runtime.between(image, layer.name, later.name, (layer.batch_axis, later.batch_axis))
        if isinstance(runtime, RunsBetween)
        else None
    )
    if between is None:
        return False
    run = between

    def positions(rows: Shaped[np.ndarray, " ..."]) -> np.ndarray:
        return _positions_that_count(later.grid.canonical(run(rows)), image)

    return bool(_Probe(runtime, image, layer, positions).reached.all())


class _Probe:
    """What becomes of some outputs where what a layer puts out at its positions is altered.

    Args:
        runtime: of the model.
        image: a batch of one, which stands for all.
        layer: whose output is altered. Tokens in front of its grid stay as they are.
        outputs: what comes of it, given some rows of it in its own layout.
    """

    def __init__(
        self,
        runtime: Runtime,
        image: Batch,
        layer: Layer,
        outputs: Callable[[Shaped[np.ndarray, " ..."]], Float[np.ndarray, "row output ..."]],
    ) -> None:
        self._layer, self._image, self._outputs = layer, image, outputs
        own = runtime.run(image, [layer.name]).values[layer.name]
        self._own = np.repeat(own, _TRIES, axis=layer.batch_axis)
        self._A = widened(layer.grid.canonical(self._own))
        noise = np.random.default_rng(0).standard_normal(self._A.shape)
        self._noise = (noise * (1 + np.abs(self._A).max())).astype(self._A.dtype)
        self._clean = self._of(self._A)

    @property
    def reached(self) -> Shaped[np.ndarray, " output"]:
        """Whether each output changes with what is at the positions."""
        return self._changed(_positions_that_count(self._noise, self._image))

    def is_score_map(self) -> bool:
        """Whether channel k feeds class k and nothing else; of a layer with as many channels as there are classes."""
        only = np.zeros_like(self._noise)
        only[:, -1] = self._noise[:, -1]
        changed = self._changed(only)
        return bool(changed[-1]) and not bool(changed[:-1].any())

    def _changed(self, noise: Float[np.ndarray, "row channel *space"]) -> Shaped[np.ndarray, " output"]:
        changed = np.not_equal(self._of(self._A + noise), self._clean)
        by_output: np.ndarray = np.moveaxis(changed, 1, 0).reshape(changed.shape[1], -1).any(axis=1)
        return by_output

    def _of(self, activations: Float[np.ndarray, "row channel *space"]) -> np.ndarray:
        found: np.ndarray = self._outputs(
            self._layer.grid.embed(activations.astype(self._own.dtype), self._own)
        )
        return found


def _positions_that_count(
    values: Float[np.ndarray, "row channel *space"], batch: Batch
) -> Float[np.ndarray, "row channel *space"]:
    """The values, zero where a position stands for others: of texts the first and last token, a class or last state."""
    if batch.of_tokens and values.shape[2] > 2:
        values = values.copy()
        values[:, :, [0, -1]] = 0
    return values


def _coarsest_first(candidates: Sequence[Layer]) -> list[Layer]:
    """A segmenter's bottleneck before the rest: Seg-Grad-CAM looks where the model sees the furthest."""
    coarsest = min(math.prod(layer.grid.space) for layer in candidates)
    there = [layer for layer in candidates if math.prod(layer.grid.space) == coarsest]
    return [*there, *(layer for layer in candidates if layer not in there)]
