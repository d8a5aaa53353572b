"""Inputs whose axes are not where the model has them: what is wrong is told by what the model runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from camscope.errors import CamscopeError, InputError, first_line
from camscope.models.checks import expected_axes


@contextmanager
def noticing_axes_out_of_place(
    model: nn.Module, x: torch.Tensor, run: Callable[[torch.Tensor], Any]
) -> Iterator[None]:
    """Run the model in this context: should it not run, it is tried on x put right, and the error says so.

    Args:
        model: an unwrapped module.
        x: what was given.
        run: the model, on a tensor in place of x.

    Raises:
        InputError: in place of the model's own error, where it runs on x put right, or on zeros with the channels that
            its first convolution takes.
    """
    try:
        yield
    except CamscopeError:
        raise
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        said = f"It said: {first_line(error)}"
        if x.ndim == 2 and x.is_floating_point():
            raise InputError(f"{expected_axes(x)} The model said: {said.partition(': ')[2]}") from error
        first = next((m for m in model.modules() if isinstance(m, nn.modules.conv._ConvNd)), None)
        if first is None or first.transposed:
            raise
        shape, channels, dims = tuple(x.shape), first.in_channels, len(first.kernel_size)
        for looks, code, fixed in _put_right(x, channels, dims):
            if _runs(run, fixed):
                raise InputError(
                    f"The model does not run on shape {shape}, which looks like {looks}: pass {code}, of shape "
                    f"{tuple(fixed.shape)}, on which it runs. {said}"
                ) from error
        if x.ndim not in (dims + 1, dims + 2) or x.shape[x.ndim - dims - 1] == channels:
            raise
        if not _runs(run, x.new_zeros(len(x), channels, *x.shape[x.ndim - dims :])):
            raise
        space = ", ".join(("length",) if dims == 1 else ("depth", "height", "width")[-dims:])
        raise InputError(
            f"The model does not run on shape {shape}: its first convolution takes {channels} channel(s), so pass "
            f"(batch, {channels}, {space}). {said}"
        ) from error


def _put_right(x: torch.Tensor, channels: int, dims: int) -> Iterator[tuple[str, str, torch.Tensor]]:
    """What x could be, the code that puts it right, and what that gives; the likeliest first."""
    last = x.shape[-1] == channels
    if x.ndim == dims + 2:
        if last:
            yield "images with their channels last", "x.movedim(-1, 1)", x.movedim(-1, 1)
        if x.shape[1] == 1:
            sizes = ", ".join(["-1"] * dims)
            yield (
                f"images of one channel, where it takes {channels}",
                f"x.expand(-1, {channels}, {sizes})",
                x.expand(-1, channels, *x.shape[2:]),
            )
        if x.shape[1] == 4 and channels == 3:
            yield "images with a fourth channel (alpha)", "x[:, :3]", x[:, :3]
        if x.shape[1] == 3 and channels == 1:
            yield (
                "images in colour, where it takes grey ones",
                "x.mean(1, keepdim=True)",
                x.mean(1, keepdim=True),
            )
        if x.shape[-1] == 3 and channels == 1:
            yield (
                "images in colour with their channels last, where it takes grey ones",
                "x.mean(-1)[:, None]",
                x.mean(-1)[:, None],
            )
    if x.ndim == dims + 1:
        if x.shape[0] == channels:
            yield "one image without its batch axis", "x[None]", x[None]
        if last:
            yield (
                "one image with its channels last and without its batch axis",
                "x.movedim(-1, 0)[None]",
                x.movedim(-1, 0)[None],
            )
        if x.shape[-1] == 3 and channels == 1:
            yield (
                "one image in colour with its channels last, where it takes grey ones",
                "x.mean(-1)[None, None]",
                x.mean(-1)[None, None],
            )
        if channels == 1:
            yield "images without a channel axis", "x[:, None]", x[:, None]


def _runs(run: Callable[[torch.Tensor], Any], x: torch.Tensor) -> bool:
    try:
        run(x.contiguous())
    except Exception:  # whatever it raises, it does not run
        return False
    return True
