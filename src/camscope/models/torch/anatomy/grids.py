"""Which of the tensors that modules put out have a grid."""

from __future__ import annotations

import torch
from torch import nn

from camscope.models.grid import Grid, find_grid
from camscope.models.torch.anatomy.trace import Output

_CHANNELS_LAST = (nn.LayerNorm, nn.Linear, nn.MultiheadAttention, nn.Embedding)
_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)


class Grids:
    """Finds the grid of one output after the other.

    What earlier outputs told helps with later ones: a grid that was met before is looked for among tokens, and where
    a convolution or a linear layer put out some shape, the kind of layer says where its channels are for every later
    output of that shape.

    Args:
        image: what the model was run on, a batch of one.
    """

    def __init__(self, image: torch.Tensor) -> None:
        self._input_shape = _with_channel(image)
        self._seen: list[tuple[int, ...]] = []
        self._channels_last: dict[tuple[int, ...], bool] = {}

    def of_output(self, output: Output) -> Grid | None:
        """The grid of an output, or None if it has none. To be asked in the order the modules finished."""
        innermost = output.modules[0]
        told = _channels_last(innermost)
        if told is not None and len(output.shape) == len(self._input_shape):
            self._channels_last[output.shape] = told
        grid = find_grid(
            output.shape,
            self._input_shape,
            self._seen,
            prefers_last=self._channels_last.get(output.shape) if told is None else told,
            certain=isinstance(innermost, _CHANNELS_FIRST),
        )
        if grid is not None and not grid.layout.startswith("tokens") and grid.space not in self._seen:
            self._seen.append(grid.space)
        return grid

    def of_shape(self, shape: tuple[int, ...]) -> Grid | None:
        """The grid of a tensor of this shape, whatever it comes from, by what the outputs so far told."""
        return find_grid(shape, self._input_shape, self._seen, prefers_last=self._channels_last.get(shape))


def _with_channel(x: torch.Tensor) -> tuple[int, ...]:
    """The shape of the input as `batch channel *space`: token numbers have no channel, so they get one."""
    return (x.shape[0], 1, x.shape[1]) if x.ndim == 2 else tuple(x.shape)


def _channels_last(module: nn.Module) -> bool | None:
    """Whether a module of this kind keeps its channels last; None where the kind does not tell.

    A class with `2d` in its name keeps them first, whatever it is derived from: timm's `LayerNorm2d` is a `LayerNorm`.
    """
    if "2d" in type(module).__name__.lower() or isinstance(module, _CHANNELS_FIRST):
        return False
    if isinstance(module, nn.RNNBase):
        return module.batch_first
    return True if isinstance(module, _CHANNELS_LAST) else None
