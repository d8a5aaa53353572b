"""A model's layers for one shape of the input after another: looked for once for each, then remembered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from camscope.errors import LayerError
from camscope.models.batch import MUCH_MORE, Batch
from camscope.models.decoding import LayerGuide
from camscope.models.layer import AFTER_RELU, OF_INPUT, Layer
from camscope.models.said_grid import OneGrid, SaidGrid, grid_as_said, said_of
from camscope.models.torch.anatomy.choice import choose, stages
from camscope.models.torch.anatomy.examine import Anatomy, examine
from camscope.models.torch.anatomy.going_in import source_of_input
from camscope.models.torch.anatomy.reach import Probe, reaching
from camscope.models.torch.anatomy.vocabulary import Embeddings, check_vocabulary, refused
from camscope.models.torch.anatomy.whole_call import Call
from camscope.models.torch.axes_out_of_place import noticing_axes_out_of_place
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.hooks.modules import find_layer
from camscope.models.torch.hooks.state import explaining
from camscope.models.torch.inputs import (
    explaining_how_inputs_were_read,
    noticing_complex_weights,
)
from camscope.models.torch.remembered import Remembered

_REACHING_AT_A_TIME = 32

_PROBES = 8
"""How many images are looked at together where one leaves a question open."""


@dataclass
class _Known:
    """What is known of a model for one signature.

    Attributes:
        anatomy: what was seen.
        spread: of the image that it was seen on, see `Batch.spreads`.
        choice: the automatic choice and the runners-up, once they were asked for.
    """

    anatomy: Anatomy
    spread: float
    choice: list[Layer] | None = None


class LayerFinder:
    """Knows the layers of one model.

    What it finds holds for all batches of one signature (`Batch.signature`), as long as no module is replaced. The
    image of a batch on which there is most to see stands for all of them, but where a layer does nothing on it, or it
    leaves in doubt how a layer leads to the score. When a batch comes with an image on which there is much more to see
    (after the dark first frame of a video, say), the layers are looked for anew.

    Args:
        forwards: of the model.
    """

    def __init__(self, forwards: Forwards) -> None:
        self._forwards = forwards
        self._model = forwards.model
        self._decoder = forwards.decoder
        self._known: Remembered[_Known] = Remembered(self._model)
        self._sources: Remembered[str] = Remembered(self._model)
        self._vocabulary: int | None = None

    def anatomy(self, batch: Batch) -> Anatomy:
        """What one forward showed of the model: of this batch, or of an earlier one of the same signature.

        Raises:
            InputError: if the model does not run on such an input, and it can be said why.
        """
        return self._known.get(batch.signature, lambda: self._look(batch)).anatomy

    def layers(self, batch: Batch) -> Sequence[Layer]:
        """All layers with a grid, in the order they run."""
        return self._for(batch).anatomy.layers

    def _for(self, batch: Batch) -> _Known:
        """What is known, looked for anew if this batch tells much more than the one on which it was seen."""
        known = self._known.get(batch.signature, lambda: self._look(batch))
        if batch.spreads.max() > MUCH_MORE * known.spread:
            seen, known = known, self._look(batch)
            known.anatomy = known.anatomy.with_more_of(seen.anatomy)
            self._known.put(batch.signature, known)
        return known

    def check_tokens(self, batch: Batch) -> None:
        """Refuse token numbers that are no tokens of this model.

        Raises:
            InputError: naming the first of them.
        """
        self.anatomy(batch)
        if self._vocabulary is not None:
            check_vocabulary(batch.x, self._vocabulary)

    def embeds(self, batch: Batch) -> bool:
        """Whether the model was seen to look the tokens of such a batch up in a table."""
        self.anatomy(batch)
        return self._vocabulary is not None

    def choose(self, batch: Batch) -> Sequence[Layer]:
        """The automatic choice, then the runners-up. See `camscope.models.adapter.Adapter.choose`."""
        known = self._for(batch)
        if known.choice is None:
            anatomy = known.anatomy
            if isinstance(self._decoder, LayerGuide):
                anatomy = anatomy.within(self._decoder.within(self._model))
            with explaining(self._model):
                known.choice = choose(self._model, self._probes(batch), anatomy)
        return known.choice

    def stages(self, batch: Batch) -> Sequence[Layer]:
        """The last layer of each resolution. See `camscope.models.adapter.Adapter.stages`."""
        choice = self.choose(batch)[0]
        with explaining(self._model):
            return stages(self._model, self._probes(batch), self.anatomy(batch), choice)

    def fpn_levels(self, batch: Batch) -> Sequence[Layer]:
        """The levels of a detector's pyramid. See `camscope.models.adapter.Adapter.fpn_levels`.

        A level of one position is no grid; the finer level that it is made from stands for it.

        Raises:
            LayerError: if the finest level has no grid.
        """
        names = self._decoder.fpn_levels(self._model) if isinstance(self._decoder, LayerGuide) else ()
        anatomy = self.anatomy(batch)
        with_grid = {layer.name: layer for layer in anatomy.layers}
        found: list[Layer] = []
        for name in names:
            if not found and name not in with_grid:
                return [anatomy.layer(name)]  # raises, saying what its shape is
            found.append(with_grid.get(name) or found[-1])
        return found

    def backbone_stages(self, batch: Batch) -> Sequence[Layer]:
        """What a detector's pyramid is made from. See `camscope.models.adapter.Adapter.backbone_stages`.

        Raises:
            LayerError: if one of these layers has no grid.
        """
        names = self._decoder.stages(self._model) if isinstance(self._decoder, LayerGuide) else ()
        anatomy = self.anatomy(batch)
        return [anatomy.layer(name) for name in names]

    def layer(self, batch: Batch, layer: str | nn.Module, said: SaidGrid | None = None) -> Layer:
        """The layer with this name (or this module), with its grid as it was found, or as it was said.

        `layer4:input` is the layer whose output goes into layer4.

        Raises:
            LayerError: if there is none, or it has no grid, or not the one that was said.
        """
        if isinstance(layer, str) and layer.endswith(AFTER_RELU):
            for candidate in self.choose(batch):
                if candidate.name == layer:
                    return candidate
            raise LayerError(
                f"There is no layer {layer!r}: {AFTER_RELU} is for a layer whose ReLU is what the classifier pools. "
                f"The automatic choice is {self.choose(batch)[0].name!r}."
            )
        if isinstance(layer, str) and layer.endswith(OF_INPUT):
            layer = self._source_of_input(batch, find_layer(self._model, layer.removesuffix(OF_INPUT)))
        name = find_layer(self._model, layer)
        grid = said_of(said, name)
        if grid is not None:
            return self._with_said(batch, name, grid)
        known, most_telling = self._for(batch), batch.most_telling(_PROBES)
        for image in range(len(most_telling)):
            if name in known.anatomy.shapes and name not in known.anatomy.unchanged:
                break
            found = self._look(most_telling.images(slice(image, image + 1)))
            known.anatomy = known.anatomy.with_more_of(found.anatomy)
        return known.anatomy.layer(name)

    def _source_of_input(self, batch: Batch, name: str) -> str:
        """The name of the layer whose output goes into this one; found once for each shape of the input."""

        def find() -> str:
            image = batch.most_telling()
            with explaining(self._model):
                return source_of_input(self._model, self._forwards.to_logits(image), image.x, name)

        return self._sources.get((batch.signature, name), find)

    def reaches(self, batch: Batch, layers: Sequence[Layer]) -> list[bool]:
        """Whether each layer's positions can reach the score at all, for any class."""
        anatomy, probes = self.anatomy(batch), self._probes(batch)
        found: list[bool] = []
        with explaining(self._model):
            for start in range(0, len(layers), _REACHING_AT_A_TIME):
                some = layers[start : start + _REACHING_AT_A_TIME]
                reached = reaching(self._model, probes, anatomy, some, look_within=True)
                found += [reach.positions for reach in reached]
        return found

    def _with_said(self, batch: Batch, name: str, said: OneGrid) -> Layer:
        """A layer with the grid that was said of it."""
        shapes = self.anatomy(batch).shapes
        if name not in shapes:
            return self.anatomy(batch).layer(name)  # raises, saying that it is not called

        def numbered(shape: Sequence[int]) -> torch.Tensor:
            return torch.arange(math.prod(shape), dtype=torch.float64).reshape(tuple(shape))

        shape = shapes[name]
        grid = grid_as_said(said, name, shape, len(batch.space), numbered)
        kind = type(self._model.get_submodule(name)).__name__
        return Layer(name, kind, shape, grid, 1, outline=False, eligible=False)

    def _probes(self, batch: Batch) -> list[Probe]:
        """What it is tried on how layers lead to the score: the most telling image; then noise and the next few images.

        The noise makes the answer hold for other batches too. Of token numbers there is none. It comes first where all
        images are the same everywhere: on a black one, whose activations may all have one sign, no ReLU is seen.
        """
        others = batch.most_telling(_PROBES)
        first = others.images(slice(1))
        if not batch.of_tokens:
            noise = torch.rand(first.x.shape, generator=torch.Generator().manual_seed(0)).to(first.x)
            others = others.with_x(torch.cat([noise, others.x[1:]]))
            if not batch.spreads.any():
                return [self._probe(others), self._probe(first)]
        elif len(others) == 1:
            return [self._probe(first)]
        return [self._probe(first), self._probe(others)]

    def _probe(self, batch: Batch) -> Probe:
        return Probe(self._forwards.to_class_scores(batch, self.anatomy(batch)), batch.x)

    def _look(self, batch: Batch) -> _Known:
        """What the most telling image of a batch shows."""
        look = self._look_on_tokens if batch.of_tokens else self._look_on_numbers
        return _Known(_as_called_last(look(batch)), float(batch.spreads.max()))

    def _look_on_numbers(self, batch: Batch) -> Anatomy:
        image = batch.most_telling()

        def run(given: torch.Tensor) -> None:
            with explaining(self._model):
                self._forwards.call(batch.with_given(given))

        with (
            noticing_complex_weights(self._model),
            noticing_axes_out_of_place(self._model, batch.given, run),
            explaining(self._model),
            explaining_how_inputs_were_read(batch),
        ):
            return examine(self._model, self._forwards.to_logits(image), image.x, self._whole(image))

    def _whole(self, image: Batch) -> Call:
        return Call(image, self._forwards.call)

    def _look_on_tokens(self, batch: Batch) -> Anatomy:
        text = batch.most_telling()
        x: torch.Tensor = text.x
        try:
            with explaining(self._model), Embeddings(self._model, x) as seen:
                anatomy = examine(self._model, self._forwards.to_logits(text), x, self._whole(text))
        except (RuntimeError, IndexError) as error:
            raise refused(x, error) from error
        self._vocabulary = seen.vocabulary
        return anatomy


def _as_called_last(anatomy: Anatomy) -> Anatomy:
    """Without layers that have a grid at an earlier call only: a norm of all tokens, then of the pooled vector.

    What is recorded of a layer, and altered, is what it puts out at its last call.
    """
    layers = tuple(layer for layer in anatomy.layers if anatomy.shapes[layer.name] == layer.shape)
    return replace(anatomy, layers=layers)
