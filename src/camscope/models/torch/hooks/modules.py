"""Small facts about PyTorch modules: unwrapping, names, and the tensor inside an output."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from camscope.errors import LayerError, ModelError, nearest


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own module inside DataParallel, DistributedDataParallel or `torch.compile` wrappers.

    Raises:
        ModelError: for TorchScript, whose modules take no hooks, and for what is not a module.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"Expected a torch.nn.Module, got {type(model).__name__}. Pass the model itself, or a name such as "
            "'demo' or 'timm:resnet50'."
        )
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            break
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            "A TorchScript model cannot be hooked. Pass the nn.Module it was scripted or traced from; its "
            "weights can be copied with load_state_dict(scripted.state_dict())."
        )
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ModelError(
            "The model was built or moved under torch.inference_mode(), so nothing can be differentiated through its "
            "weights. Build it outside; explaining under inference_mode is fine."
        )
    return model


def versions(model: nn.Module) -> tuple[tuple[int, int], ...]:
    """Where each weight lies and how often it was written to in place: other numbers once a weight has changed."""
    state = itertools.chain(model.parameters(), model.buffers())
    return tuple((tensor.data_ptr(), tensor._version) for tensor in state)


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every submodule by its qualified name, the model itself left out."""
    return {name: module for name, module in model.named_modules() if name}


def find_layer(model: nn.Module, layer: str | nn.Module) -> str:
    """The qualified name of a layer given by name or as the module itself.

    Raises:
        LayerError: if the model has no such layer; the message names the nearest.
    """
    layers = named_layers(model)
    if isinstance(layer, nn.Module):
        for name, module in layers.items():
            if module is layer or module is getattr(layer, "_orig_mod", None):
                return name
        raise LayerError(f"The given {type(layer).__name__} is no submodule of this {type(model).__name__}.")
    if not isinstance(layer, str):
        raise LayerError(
            f"A layer is given by its name or as the module itself, not as {type(layer).__name__}."
        )
    name = layer.removeprefix("module.").removeprefix("_orig_mod.")
    if layer in layers:
        return layer
    if name in layers:
        return name
    raise LayerError(
        f"There is no layer {layer!r} in this {type(model).__name__}.{nearest(layer, layers)} "
        "`camscope layers` lists the candidates; model.named_modules() lists all."
    )


def count_tensors(output: Any) -> int:
    """How many tensors a module puts out, inside tuples, lists and mappings too."""
    if isinstance(output, torch.Tensor):
        return 1
    parts = output.values() if isinstance(output, Mapping) else output
    return sum(map(count_tensors, parts)) if isinstance(output, (Mapping, list, tuple)) else 0


def is_captured(module: nn.Module) -> bool:
    """Whether a hook of Hugging Face's keeps the module's output, which the network may go on with (hidden states).

    A hook of ours that changes the output must come before that hook.
    """
    return any(
        hook.__name__ == "output_capturing_hook"
        for hook in module._forward_hooks.values()
        if hasattr(hook, "__name__")
    )


def first_tensor(output: Any) -> torch.Tensor | None:
    """The first tensor in a module's output: the output itself, or of a tuple, list or mapping."""
    if isinstance(output, torch.Tensor):
        return output
    for _, value in _items(output):
        if isinstance(value, torch.Tensor):
            return value
    return None


def replace_first_tensor(output: Any, tensor: torch.Tensor) -> Any:
    """The same output with its first tensor replaced. Needs `first_tensor(output)` to be one."""
    if isinstance(output, torch.Tensor):
        return tensor
    place = next(key for key, value in _items(output) if isinstance(value, torch.Tensor))
    if isinstance(output, tuple):
        values = [tensor if i == place else value for i, value in enumerate(output)]
        return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)
    replaced = copy.copy(
        output
    )  # the mapping's own copy() does not fit those of classes with required fields
    replaced[place] = tensor
    return replaced


def _items(output: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(output, Mapping):
        yield from output.items()
    elif isinstance(output, (tuple, list)):
        yield from enumerate(output)
