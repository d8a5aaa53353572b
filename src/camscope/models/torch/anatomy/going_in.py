"""What goes into a layer, told by the layer that puts it out: the very same tensor, with the very same numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from camscope.errors import LayerError
from camscope.models.torch.hooks.modules import first_tensor, named_layers, tensors_of
from camscope.models.torch.hooks.session import hook_after, hook_before


def source_of_input(
    model: nn.Module, forward: Callable[[torch.Tensor], Any], image: torch.Tensor, name: str
) -> str:
    """The layer whose output goes into another one, at its last call: of several that put it out the outermost.

    Call it inside `explaining(model)`.

    Args:
        model: an unwrapped module.
        forward: runs the model.
        image: a batch of one.
        name: of the layer whose input is meant.

    Raises:
        LayerError: if no layer puts it out, or the layer is not called.
    """
    module = model.get_submodule(name)
    done: list[tuple[str, torch.Tensor, int]] = []
    found: list[tuple[str | None, str | None, bool]] = []

    def note(layer: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is not None:
                done.append((layer, tensor, tensor._version))

        return hook

    def look(_module: nn.Module, args: Any, kwargs: Any) -> None:
        given = next(tensors_of((args, kwargs)), None)
        source = None if given is None else next((w for w, t, v in reversed(done) if _is(given, t, v)), None)
        found.append((source, done[-1][0] if done else None, given is not None and _is_of(given, image)))

    with ExitStack() as stack, torch.no_grad():
        for layer, one in named_layers(model).items():
            if layer and layer != name:
                stack.callback(hook_after(one, note(layer)).remove)
        stack.callback(hook_before(module, look, with_keywords=True).remove)
        forward(image)
    if not found:
        raise LayerError(f"The layer {name!r} is not called for this input, so nothing goes into it.")
    source, before, is_models = found[-1]
    if source is not None:
        return source
    if is_models:
        raise LayerError(
            f"What goes into {name!r} is the model's own input, which is no layer's activations. Take its output, "
            f"{name!r}."
        )
    hint = f" Before it ran {before!r}: take the output of that, or of {name!r}." if before else ""
    raise LayerError(
        f"What goes into {name!r} is put out by no layer: the model computes it by functions between them (a sum, a "
        f"ReLU, a reshape).{hint}"
    )


def _is(given: torch.Tensor, tensor: torch.Tensor, version: int) -> bool:
    """Whether a tensor is what a layer put out, unwritten since."""
    return _is_of(given, tensor) and given._version == version


def _is_of(given: torch.Tensor, tensor: torch.Tensor) -> bool:
    return given is tensor or (
        given.shape == tensor.shape
        and given.stride() == tensor.stride()
        and given.data_ptr() == tensor.data_ptr()
    )
