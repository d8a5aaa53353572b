"""A model's layers for one shape of the input after another: looked for once for each, then remembered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import nn

from camscope.errors import LayerError
from camscope.models.batch import Batch
from camscope.models.decoding import LayerGuide
from camscope.models.layer import AFTER_RELU, Layer
from camscope.models.torch.anatomy.choice import choose, stages
from camscope.models.torch.anatomy.examine import Anatomy, examine
from camscope.models.torch.anatomy.reach import reaching
from camscope.models.torch.anatomy.vocabulary import Embeddings, check_vocabulary, refused
from camscope.models.torch.forwards import Forwards
from camscope.models.torch.hooks.modules import find_layer
from camscope.models.torch.hooks.state import explaining
from camscope.models.torch.inputs import explaining_how_inputs_were_read, noticing_a_missing_batch_axis

_REACHING_AT_A_TIME = 32


class LayerFinder:
    """Knows the layers of one model. What it finds holds for all batches of one signature (`Batch.signature`).

    The first image of a batch stands for all of them.

    Args:
        forwards: of the model.
    """

    def __init__(self, forwards: Forwards) -> None:
        self._forwards = forwards
        self._model = forwards.model
        self._decoder = forwards.decoder
        self._anatomies: dict[Hashable, Anatomy] = {}
        self._choices: dict[Hashable, list[Layer]] = {}
        self._vocabulary: int | None = None

    def anatomy(self, batch: Batch) -> Anatomy:
        """What one forward shows of the model.

        Raises:
            InputError: if the model does not run on such an input, and it can be said why.
        """
        key = batch.signature
        if key not in self._anatomies:
            look = self._look_on_tokens if batch.of_tokens else self._look
            self._anatomies[key] = look(batch)
        return self._anatomies[key]

    def check_tokens(self, batch: Batch) -> None:
        """Refuse token numbers that are no tokens of this model.

        Raises:
            InputError: naming the first of them.
        """
        self.anatomy(batch)
        if self._vocabulary is not None:
            check_vocabulary(batch.x, self._vocabulary)

    def choose(self, batch: Batch) -> Sequence[Layer]:
        """The automatic choice, then the runners-up. See `camscope.models.adapter.Adapter.choose`."""
        key = batch.signature
        if key not in self._choices:
            anatomy, first = self.anatomy(batch), batch.images(slice(1))
            if isinstance(self._decoder, LayerGuide):
                anatomy = anatomy.within(self._decoder.within(self._model))
            with explaining(self._model):
                to_scores = self._forwards.to_class_scores(first)
                self._choices[key] = choose(self._model, to_scores, first.x, anatomy)
        return self._choices[key]

    def stages(self, batch: Batch) -> Sequence[Layer]:
        """The last layer of each resolution. See `camscope.models.adapter.Adapter.stages`."""
        choice, first = self.choose(batch)[0], batch.images(slice(1))
        with explaining(self._model):
            to_scores = self._forwards.to_class_scores(first)
            return stages(self._model, to_scores, first.x, self.anatomy(batch), choice)

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

    def layer(self, batch: Batch, layer: str | nn.Module) -> Layer:
        """The layer with this name (or this module).

        Raises:
            LayerError: if there is none, or it has no grid.
        """
        if isinstance(layer, str) and layer.endswith(AFTER_RELU):
            for candidate in self.choose(batch):
                if candidate.name == layer:
                    return candidate
            raise LayerError(
                f"There is no layer {layer!r}: {AFTER_RELU} is for a layer whose ReLU is what the classifier pools. "
                f"The automatic choice is {self.choose(batch)[0].name!r}."
            )
        return self.anatomy(batch).layer(find_layer(self._model, layer))

    def reaches(self, batch: Batch, layers: Sequence[Layer]) -> list[bool]:
        """Whether each layer's positions can reach the score at all, for any class."""
        anatomy, first = self.anatomy(batch), batch.images(slice(1))
        found: list[bool] = []
        with explaining(self._model):
            to_scores = self._forwards.to_class_scores(first)
            for start in range(0, len(layers), _REACHING_AT_A_TIME):
                some = layers[start : start + _REACHING_AT_A_TIME]
                reached = reaching(self._model, to_scores, first.x, anatomy, some, look_within=True)
                found += [reach.positions for reach in reached]
        return found

    def _look(self, batch: Batch) -> Anatomy:
        first = batch.images(slice(1))
        with (
            noticing_a_missing_batch_axis(self._model, batch.x),
            explaining(self._model),
            explaining_how_inputs_were_read(batch),
        ):
            return examine(self._model, self._forwards.to_logits(first), first.x)

    def _look_on_tokens(self, batch: Batch) -> Anatomy:
        first = batch.images(slice(1))
        x: torch.Tensor = first.x
        try:
            with explaining(self._model), Embeddings(self._model, x) as seen:
                anatomy = examine(self._model, self._forwards.to_logits(first), x)
        except (RuntimeError, IndexError) as error:
            raise refused(x, error) from error
        self._vocabulary = seen.vocabulary
        return anatomy
