"""Which of the tensors that modules put out have a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import nn

from camscope.models.grid import NONE_STILL, Grid, Still, candidate_grids
from camscope.models.layer import as_batch_second, has_batch_second, with_batch_first
from camscope.models.other_inputs import without_others
from camscope.models.other_tokens import OtherTokens
from camscope.models.place import AGREES, Answer, find_grid
from camscope.models.torch.anatomy.rows import Spot
from camscope.models.torch.anatomy.trace import Output, Source

_LOST = 0.3
"""By so much less a function's result answers in place where it has moved positions."""

OfOthers: TypeAlias = Mapping[Spot, Sequence[tuple[int, Answer]]]
"""By the spot of an output how it answers to each of the other inputs, with how many positions that input has."""


class Grids:
    """Finds the grid of one output after the other: the one on which it answers in place to an altered patch.

    Of several that answer as well the one that was met before is the likeliest.

    Args:
        image: what the model was run on, a batch of one.
        others: how the outputs answer to other inputs, where there are some along which a grid may stand.
        still: which of their tokens stay the same for any input, where some may be no position.
    """

    def __init__(
        self,
        image: torch.Tensor,
        others: OfOthers = MappingProxyType({}),
        still: Mapping[Spot, Still] = MappingProxyType({}),
    ) -> None:
        self._others, self._still = others, still
        self._input_shape = _with_channel(image)
        self._seen: list[tuple[int, ...]] = []
        self._other_tokens = OtherTokens()
        self._found: dict[int, Grid] = {}
        """By the id of the output, all of which the trace holds."""
        self._least_in_place = 0.0
        """How well the output of those agrees that agrees least."""

    def of_output(self, output: Output) -> Grid | None:
        """The grid of an output, or None if it has none. To be asked in the order the modules finished."""
        keeps, mixes = _keeps_axes(output.modules[0]), _mixes_channels(output.modules[0])
        # what leaves every position where it is has the grid that went in, whatever its own answer is taken for
        as_it_came = (keeps and not mixes) or _is_along_last_axis(output.modules[0])
        grid = self._as_before(output) if as_it_came else None
        if grid is None:
            is_convolution = isinstance(output.modules[0], nn.modules.conv._ConvNd)
            still = self._still.get(output.spot, NONE_STILL) if self._still else NONE_STILL
            grid = self.of(
                output.shape, output.answer, keeps_axes=keeps, convolution=is_convolution, still=still
            )
        if grid is None and mixes:
            grid = self._as_before(output)
        if self._others and grid is not None and output.answer is not None:
            grid = without_others(grid, output.answer, self._others.get(output.spot, ()))
        if grid is not None and output.answer is not None:
            agreement = output.answer.agreement(grid)
            if agreement < AGREES and self._is_moved(output.unknown):
                return None
            self._least_in_place = min(agreement, self._least_in_place) if self._found else agreement
        if grid is not None:
            self._found[id(output)] = grid
        if grid is not None and not grid.layout.startswith("tokens") and grid.space not in self._seen:
            self._seen.append(grid.space)
        return grid

    def _is_moved(self, source: Source | None) -> bool:
        """Whether what a function made is out of place, while all that modules put out before was in place.

        A network that sees more and more loses its place step by step. What loses it at once has its positions in
        another order, as tokens that are taken for channels.
        """
        if source is None or source.answer is None or len(source.shape) < 3:
            return False
        grid = Grid("channels-first", source.shape[2:], source.shape[1])
        return source.answer.agreement(grid) < self._least_in_place - _LOST

    def _as_before(self, output: Output) -> Grid | None:
        """The grid of what went into a module that keeps positions: where that was in place, what comes out is too.

        A ReLU leaves so few positions, say, that they tell no place by themselves. What went in may be a view of what
        another put out, with its channels last.
        """
        before, answer = self._went_in(output), output.answer
        if before is None or answer is None or (answer.anything and not answer.changed):
            return None
        grid, shape = before
        if _is_along_last_axis(output.modules[0]):
            behind = grid.layout in ("channels-last", "tokens") and output.shape[:-1] == shape[:-1]
            return replace(grid, channels=output.shape[-1]) if behind else None
        if output.shape == shape and not _mixes_channels(output.modules[0]):
            return grid
        space = output.shape[2:]
        along_axes = grid.layout == "channels-first" and len(space) == len(grid.space)
        return Grid("channels-first", space, output.shape[1]) if along_axes and math.prod(space) > 1 else None

    def _went_in(self, output: Output) -> tuple[Grid, tuple[int, ...]] | None:
        """The grid of what went into a module, and its shape; None if it is not known."""
        came = output.came
        grid = None if came is None else self._found.get(id(came.output))
        if came is not None and grid is not None and not came.itself:
            grid = grid.moved(came.axes)
        return None if came is None or grid is None else (grid, came.shape)

    def of(
        self,
        shape: tuple[int, ...],
        answer: Answer | None,
        *,
        keeps_axes: bool = False,
        convolution: bool = False,
        still: Still = NONE_STILL,
    ) -> Grid | None:
        """The grid of a tensor, by what the outputs so far told.

        Args:
            shape: for one image.
            answer: to the altered patch.
            keeps_axes: whether what put it out is of a kind that keeps the axes of space.
            convolution: whether a convolution put it out: then axis 1 is its channels.
            still: which of its tokens stay the same for any input.
        """
        if answer is None:
            return None
        second = has_batch_second(shape)
        candidates = candidate_grids(
            with_batch_first(shape), self._input_shape, self._seen, still, self._other_tokens.told
        )
        if convolution:
            candidates = candidates.with_channels_in_front
        found = find_grid(answer, candidates, keeps_axes=keeps_axes, others=self._other_tokens)
        return as_batch_second(found) if second and found is not None else found


_KEEPING_AXES = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.dropout._DropoutNd,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.PReLU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.Softplus,
    nn.Softsign,
)


_HOMES_OF_ACTIVATIONS = ("transformers.activations", "timm.layers.activations", "timm.layers.activations_me")
"""Modules that define nothing but functions of single elements."""


def _keeps_axes(module: nn.Module) -> bool:
    """Whether a module keeps the axes of space: a convolution, what goes with it, or a block of nothing but these."""
    parts = [part for part in module.modules() if next(part.children(), None) is None]
    return all(
        isinstance(part, _KEEPING_AXES) or type(part).__module__ in _HOMES_OF_ACTIVATIONS for part in parts
    )


def _is_along_last_axis(module: nn.Module) -> bool:
    """Whether a module does the same at every position of channels that are last, and mixes these alone."""
    return isinstance(module, nn.Linear) or (
        isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1
    )


def _mixes_channels(module: nn.Module) -> bool:
    """Whether a module that keeps the axes makes new channels, along axis 1: a convolution, or a block with one."""
    return _keeps_axes(module) and any(isinstance(part, nn.modules.conv._ConvNd) for part in module.modules())


def _with_channel(x: torch.Tensor) -> tuple[int, ...]:
    """The shape of the input as `batch channel *space`: token numbers have no channel, so they get one."""
    return (x.shape[0], 1, x.shape[1]) if x.ndim == 2 else tuple(x.shape)
