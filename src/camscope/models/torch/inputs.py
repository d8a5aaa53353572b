"""What the model is called with, on its device and in its precision; and inputs that no model can take, refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from camscope.errors import InputError, ModelError, first_line
from camscope.models.axes import check_space
from camscope.models.batch import Batch
from camscope.models.checks import check_axes, check_finite


def prepared(given: Batch, model: nn.Module) -> Batch:
    """The inputs on the model's device, those of real numbers also in its precision.

    Args:
        given: tensors or arrays, and whatever else the model takes.
        model: an unwrapped module; its first parameter of real numbers tells the device and the precision.

    Raises:
        InputError: if the input that maps are of is no batch, is empty, or holds NaN or infinity, or does not have the
            axes of space that were named.
    """
    like = next((p for p in model.parameters() if p.is_floating_point()), None)

    def converted(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiubc":
            value = _from_numpy(value)
        if not isinstance(value, torch.Tensor):
            return value
        value = _plain(value)
        if like is None:
            return value
        return value.to(like.device, like.dtype) if value.is_floating_point() else value.to(like.device)

    if isinstance(given.given, torch.Tensor):
        check_values(given.given)
    x = converted(given.given)
    if not isinstance(x, torch.Tensor):
        raise InputError(f"Expected a torch.Tensor, got {type(x).__name__}.")
    check_axes(x)
    of_tokens = x.ndim == 2 and not x.is_floating_point()
    if not x.is_floating_point() and not of_tokens and like is not None:
        raise InputError(
            f"The input tensor is {x.dtype}; a tensor is taken as already preprocessed, so it must be floating "
            f"point. Pass the photo itself (path, PIL image or array) to have it preprocessed{_as_photos(x)}."
        )
    if given.space_axes is not None:
        check_space(given.space_axes, x.shape)
    check_finite(x)
    return given.others(converted).with_given(x)


@contextmanager
def explaining_how_inputs_were_read(batch: Batch) -> Iterator[None]:
    """Run the model in this context: should it not run on several inputs, the error says how they were read.

    Raises:
        InputError: in place of the model's own error, where there is more than one input.
    """
    try:
        yield
    except (RuntimeError, TypeError) as error:
        shapes = batch.shapes_of_others
        if not shapes:
            raise
        raise InputError(
            f"The model does not run on these inputs: {tuple(batch.x.shape)} with {', '.join(map(str, shapes))}. "
            f"Those with {len(batch)} rows, as many as the batch, were taken to belong to its images, one row each; "
            f"others to all of them. It said: {first_line(error)}"
        ) from error


@contextmanager
def noticing_complex_weights(model: nn.Module) -> Iterator[None]:
    """Run the model in this context: should its weights be complex and not take real numbers, the error says so.

    Raises:
        ModelError: in place of the model's own RuntimeError about numbers of two kinds.
    """
    try:
        yield
    except RuntimeError as error:
        if "complex" not in str(error).lower() or not any(p.is_complex() for p in model.parameters()):
            raise
        raise ModelError(
            "The model's weights are complex and do not take real numbers, of which maps are made. Explain a model "
            "around it that takes real numbers, makes them complex and puts out real scores: in its forward "
            "self.model(torch.complex(*x.chunk(2, 1))).abs(), say, where the two parts are channels. It said: "
            f"{first_line(error)}"
        ) from error


def check_values(x: torch.Tensor) -> None:
    """Refuse a tensor whose numbers do not lie in memory one by one, or are complex.

    Raises:
        InputError: saying how to make one of it that has them.
    """
    if x.is_nested:
        raise InputError(
            "The input is a nested tensor, whose images differ in size. Explain them one by one, or padded: "
            "torch.nested.to_padded_tensor(x, 0)."
        )
    if x.is_meta:
        raise InputError(
            "The input is on the device 'meta', so it has a shape but no values. Give one that has."
        )
    if x.layout != torch.strided:
        raise InputError(f"The input is a sparse tensor ({x.layout}). Give x.to_dense().")
    if x.is_complex():
        raise InputError(
            f"The input holds complex numbers ({x.dtype}), and maps are made of real ones. Give their parts as "
            "channels, torch.cat([x.real, x.imag], 1), to a model around yours whose forward puts them together: "
            "torch.complex(*x.chunk(2, 1))."
        )
    if x.is_quantized:
        raise InputError(f"The input is quantised ({x.dtype}). Give x.dequantize().")


def _as_photos(x: torch.Tensor) -> str:
    """How a tensor of bytes becomes an array of photos; empty if it is of none."""
    if x.dtype != torch.uint8 or x.ndim not in (3, 4):
        return ""
    if x.shape[-1] in (1, 3, 4):
        return ": x.numpy()"
    return f": x.movedim({x.ndim - 3}, -1).numpy()" if x.shape[x.ndim - 3] in (1, 3, 4) else ""


def _from_numpy(array: np.ndarray) -> torch.Tensor:
    """An array as a tensor, which knows neither other byte orders, nor negative strides, nor long doubles."""
    kind = np.dtype(np.float64) if array.dtype == np.longdouble else array.dtype.newbyteorder("=")
    return torch.from_numpy(np.asarray(array, dtype=kind, order="C"))


def _plain(value: torch.Tensor) -> torch.Tensor:
    """The user's tensor without its graph and without what a subclass adds, and such that autograd may use it."""
    if value.layout != torch.strided:  # a graph's neighbours, say
        return value.detach()
    value = value.detach().as_subclass(torch.Tensor)
    if value.is_inference():
        with torch.inference_mode(False):
            value = value.clone()
    return value
