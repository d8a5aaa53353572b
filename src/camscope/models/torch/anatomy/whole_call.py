"""A whole call of the model: the image, and what else it takes, whose positions are none of the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from camscope.models.batch import Batch
from camscope.models.layer import Layer
from camscope.models.other_inputs import other_inputs
from camscope.models.place import Answer
from camscope.models.torch.anatomy.grids import OfOthers
from camscope.models.torch.anatomy.rows import Apart, Rows, Spot, Together, met


@dataclass(frozen=True)
class Call:
    """A call of the model for one image.

    Attributes:
        batch: its arguments.
        run: calls the model with such.
    """

    batch: Batch
    run: Callable[[Batch], Any]

    def answers(self, model: nn.Module, layers: Sequence[Layer], *, apart: bool) -> OfOthers:
        """How the model answers to other inputs, of those along which as many positions stand as along a layer's grid.

        Args:
            model: an unwrapped module.
            layers: those with a grid.
            apart: whether the model takes one image at a time.
        """
        spaces = {layer.grid.space for layer in layers if len(layer.grid.space) == 1}
        found: dict[Spot, list[tuple[int, Answer]]] = {}
        for other in other_inputs(self.batch, spaces):
            rows: Rows = Together(len(other.rows))
            seen = other.rows
            if apart:
                each = [other.rows.images(slice(row, row + 1)) for row in range(len(other.rows))]
                seen = each[0]
                rows = Apart([met(model, self.run, one) for one in each[1:]])
            for spot, tensor in met(model, self.run, seen).items():
                answer = rows.answer(tensor, spot)
                if answer is not None:
                    found.setdefault(spot, []).append((other.positions, answer))
        return found
