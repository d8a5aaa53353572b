"""Backward operations as forward ones, for formats that know only those. With respect to inputs, never to weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch.overrides import TorchFunctionMode

from camscope.models.torch.hooks.functions import all_forms

aten = torch.ops.aten


def backwards_as_forwards() -> dict[Any, Callable[..., Any]]:
    """By each backward operation what computes the same: PyTorch's own decompositions, and ours of what has none."""
    own = {operation: way for operation, way in decomposition_table.items() if "backward" in str(operation)}
    return {
        **own,
        aten.convolution_backward.default: _convolution,
        aten._adaptive_avg_pool2d_backward.default: partial(_adaptive_average, axes=2),
        aten._adaptive_avg_pool3d_backward.default: partial(_adaptive_average, axes=3),
        aten.avg_pool2d_backward.default: partial(_average, axes=2),
        aten.avg_pool3d_backward.default: partial(_average, axes=3),
        aten.max_pool2d_with_indices_backward.default: _maximum,
    }


def _convolution(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    _bias_sizes: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    _output_padding: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, None, None]:
    """The transposed convolution, and of a transposed one the convolution itself."""
    if wanted[1] or wanted[2]:
        raise NotImplementedError("gradients of weights")
    axes = weight.ndim - 2
    s, p, d = (_of_each(values, axes) for values in (stride, padding, dilation))
    if transposed:
        return (
            aten.convolution.default(gradient, weight, None, s, p, d, False, [0] * axes, groups),
            None,
            None,
        )
    # how much of the input a stride has left over at the end
    left = [
        x.shape[2 + i]
        - ((gradient.shape[2 + i] - 1) * s[i] - 2 * p[i] + d[i] * (weight.shape[2 + i] - 1) + 1)
        for i in range(axes)
    ]
    return aten.convolution.default(gradient, weight, None, s, p, d, True, left, groups), None, None


def _adaptive_average(gradient: torch.Tensor, x: torch.Tensor, *, axes: int) -> torch.Tensor:
    """Each number of the output is a mean of some of the input, along each axis."""
    for axis in range(-axes, 0):
        size, means = int(x.shape[axis]), int(gradient.shape[axis])
        windows = [(i * size // means, math.ceil((i + 1) * size / means)) for i in range(means)]
        shares = [1 / (end - start) for start, end in windows]
        gradient = _spread(gradient, axis, size, windows, shares)
    return gradient


def _maximum(
    gradient: torch.Tensor,
    x: torch.Tensor,
    _kernel: Sequence[int],
    _stride: Sequence[int],
    _padding: Sequence[int],
    _dilation: Sequence[int],
    _ceil_mode: bool,
    where: torch.Tensor,
) -> torch.Tensor:
    """Each maximum gives its gradient back to where it was found. PyTorch 2.7 has no way of its own."""
    none = torch.zeros_like(x).flatten(-2)
    return none.scatter_add(-1, where.flatten(-2), gradient.flatten(-2)).reshape(x.shape)


def _average(
    gradient: torch.Tensor,
    x: torch.Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    _ceil: bool,
    counts_padding: bool,
    divisor: int | None,
    *,
    axes: int,
) -> torch.Tensor:
    """The same with windows of one size, which may reach over the edges."""
    k, p = _of_each(kernel, axes), _of_each(padding, axes)
    s = _of_each(stride, axes) if len(stride) else k
    for i, axis in enumerate(range(-axes, 0)):
        size = int(x.shape[axis])
        starts = [n * s[i] - p[i] for n in range(int(gradient.shape[axis]))]
        windows = [(max(start, 0), min(start + k[i], size)) for start in starts]
        with_padding = [min(start + k[i], size + p[i]) - start for start in starts]
        counts = with_padding if counts_padding else [end - start for start, end in windows]
        shares = [1.0 if divisor else 1 / count for count in counts]
        gradient = _spread(gradient, axis, size, windows, shares)
    return gradient / divisor if divisor else gradient


def _spread(
    gradient: torch.Tensor,
    axis: int,
    size: int,
    windows: Sequence[tuple[int, int]],
    shares: Sequence[float],
) -> torch.Tensor:
    """What windows along one axis give back to its positions.

    Args:
        gradient: of each window.
        axis: along which they lie.
        size: how many positions there are.
        windows: the first position of each, and the end.
        shares: which part of a window's gradient each of its positions gets.
    """
    matrix = torch.zeros(len(windows), size)
    for row, (start, end), share in zip(matrix, windows, shares, strict=True):
        row[start:end] = share
    return (gradient.movedim(axis, -1) @ matrix.to(gradient)).movedim(-1, axis)


def _of_each(values: Sequence[int], axes: int) -> list[int]:
    """A number for each axis, where one may stand for all."""
    return list(values) * axes if len(values) == 1 else list(values)


class PooledContiguously(TorchFunctionMode):
    """Pools from memory that is laid out channels first.

    To a mean over channels that lie last in memory PyTorch adds `as_strided`, whose backward other formats do not know.
    """

    _functions = all_forms("adaptive_avg_pool2d", "adaptive_avg_pool3d") | {
        torch._C._nn.adaptive_avg_pool2d,
        torch._C._nn.adaptive_avg_pool3d,
    }

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in self._functions and args:
            args = (args[0].contiguous(), *args[1:])
        return func(*args, **(kwargs or {}))
