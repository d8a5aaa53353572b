"""Where the positions of a tensor are: the truth about each layer, known since the network was built that way."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch


@dataclass(frozen=True)
class Place:
    """Where a tensor keeps its positions.

    Attributes:
        layout: `first` (b c *s), `last` (b *s c), `tokens` (b n c), `tokens-last` (b c n), `vector` (b c), or `nowhere`
            (its numbers are at no position of the input, or in no order).
        channels: how many.
        space: size of the grid along each axis.
        others: numbers of the tokens that are no position, in ascending order.
        columns: whether the tokens run down the columns, and not along the rows.
        second: whether the batch stands behind the tokens (n b c).
        shape: of a tensor that is nowhere, for what reads it: tokens × channels.
    """

    layout: Literal["first", "last", "tokens", "tokens-last", "vector", "nowhere"]
    channels: int
    space: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    columns: bool = False
    second: bool = False
    shape: tuple[int, ...] = ()

    @property
    def is_grid(self) -> bool:
        """Whether there is a map at all: more than one position, in order."""
        return self.layout not in ("vector", "nowhere") and math.prod(self.space) > 1

    @property
    def is_tokens(self) -> bool:
        """Whether it has the form `batch token channel`, in order or not."""
        return self.layout in ("tokens", "nowhere")

    @property
    def count(self) -> int:
        """How many tokens there are, with those that are no position."""
        return self.shape[0] if self.layout == "nowhere" else math.prod(self.space) + len(self.others)

    @property
    def positions(self) -> list[int]:
        """Numbers of the tokens that are positions."""
        return [number for number in range(self.count) if number not in self.others]

    @property
    def batch_first(self) -> Place:
        """The same with the batch in front."""
        return replace(self, second=False)

    def with_channels(self, channels: int) -> Place:
        """The same positions with so many channels."""
        return replace(self, channels=channels)

    def canonical(self, tensor: torch.Tensor) -> torch.Tensor:
        """As `batch channel *space`, rows before columns, without other tokens."""
        if self.second:
            return self.batch_first.canonical(tensor.transpose(0, 1))
        if self.layout == "first":
            return tensor
        if self.layout == "last":
            return tensor.movedim(-1, 1)
        tokens = tensor if self.layout == "tokens" else tensor.transpose(1, 2)
        grid = tokens[:, self.positions].transpose(1, 2)
        if self.columns:
            return grid.unflatten(2, self.space[::-1]).transpose(2, 3)
        return grid.unflatten(2, self.space)

    def put_back(self, grid: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
        """The inverse of `canonical`: a tensor with these values at its positions, and its own other tokens."""
        if self.second:
            return self.batch_first.put_back(grid, tensor.transpose(0, 1)).transpose(0, 1)
        if self.layout == "first":
            return grid
        if self.layout == "last":
            return grid.movedim(1, -1)
        flat = (grid.transpose(2, 3) if self.columns else grid).flatten(2)
        if self.layout == "tokens-last":
            put = tensor.clone()
            put[..., self.positions] = flat
            return put
        put = tensor.clone()
        put[:, self.positions] = flat.transpose(1, 2)
        return put
