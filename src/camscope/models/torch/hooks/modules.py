"""Small facts about PyTorch modules: unwrapping, names, and the tensor inside an output."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int64, UInt8
from torch import nn
from torch.jit._script import RecursiveScriptModule
from torch.nn.parameter import is_lazy

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
            "weights can be copied with load_state_dict(scripted.state_dict()). On the command line: --model "
            "FILE.py:FACTORY, a function that does this."
        )
    if any(not is_lazy(parameter) and parameter.is_inference() for parameter in model.parameters()):
        raise ModelError(
            "The model was built or moved under torch.inference_mode(), so nothing can be differentiated through its "
            "weights. Build it outside; explaining under inference_mode is fine."
        )
    return model


def check_has_values(model: nn.Module) -> None:
    """Refuse a model whose weights have no values, or not even a shape, yet.

    Args:
        model: an unwrapped module.

    Raises:
        ModelError: naming the first of these weights.
    """
    for name, module in model.named_modules():
        # what accelerate offloads has its values when the module runs
        offloaded = hasattr(module, "_hf_hook")
        for own, weight in (*module._parameters.items(), *module._buffers.items()):
            where = f"{name}.{own}" if name else own
            if is_lazy(weight):
                raise ModelError(
                    f"{where} has no shape yet: it is of a {type(module).__name__}, which takes it from the first "
                    "input. Run the model once, model(x), and explain it then."
                )
            if weight is not None and weight.is_meta and not offloaded:
                raise ModelError(
                    f"{where} is on the device 'meta', so it has a shape but no values. Load the weights first: "
                    "model.to_empty(device='cpu'), then model.load_state_dict(…)."
                )


Versions: TypeAlias = tuple[tuple[tuple[int, int], ...], tuple[int, ...]]

_ROW = 1021
"""Words of 64 bits that a checksum adds up without regard to their order; odd, so that turned signs never cancel."""

_SMALL = 2**16
"""Tensors of fewer bytes are put together for one checksum: of hundreds, each would take longer to begin than to do."""


def versions(model: nn.Module) -> Versions:
    """Where each weight lies, how often it was written to in place, and checksums of all values.

    These are others once a weight has changed. The checksums see what PyTorch does not count: writing through `p.data`,
    or through NumPy.
    """
    state = [tensor.detach() for tensor in itertools.chain(model.parameters(), model.buffers())]
    with torch.no_grad():
        written = tuple((tensor.data_ptr(), tensor._version) for tensor in state)
        known = _at_rest.get(model)
        return known if known is not None and known[0] == written else (written, _checksums(state))


_at_rest: WeakKeyDictionary[nn.Module, Versions] = WeakKeyDictionary()


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Take the weights to be written to by PyTorch alone, if at all, so that their values are not added up again.

    Args:
        model: whose.
    """
    _at_rest[model] = versions(model)
    try:
        yield
    finally:
        _at_rest.pop(model, None)


def _checksums(tensors: Sequence[torch.Tensor]) -> tuple[int, ...]:
    """Numbers made of all bits and their places; of what has no bits of its own (sparse, meta) none."""
    small: dict[torch.device, list[torch.Tensor]] = {}
    sums: dict[torch.device, list[torch.Tensor]] = {}
    for tensor in tensors:
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or not tensor.numel():
            continue
        octets = _octets(tensor)
        if len(octets) < _SMALL:
            small.setdefault(tensor.device, []).append(octets)
        else:
            sums.setdefault(tensor.device, []).append(_checksum(octets, doubles=tensor.element_size() == 8))
    for device, some in small.items():
        sums.setdefault(device, []).append(_checksum(torch.cat(some), doubles=True))
    # one wait for each device, not for each tensor
    return tuple(value for some in sums.values() for value in torch.stack(some).tolist())


def _octets(tensor: torch.Tensor) -> UInt8[torch.Tensor, " n"]:
    """A tensor's bytes in the order of memory, so that nothing is copied of weights that are kept channels last."""
    flat = tensor.permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True)).reshape(-1)
    octets = flat.contiguous().view(torch.uint8)
    return octets.clone() if octets.storage_offset() % 8 else octets


def _checksum(octets: UInt8[torch.Tensor, " n"], *, doubles: bool) -> Int64[torch.Tensor, ""]:
    """A number made of all bits and their places: rows of words are added up, then these sums, each times its own.

    Large tensors are read once, at the speed of the memory. Whole numbers give the same sum in any order.

    Args:
        octets: the bytes.
        doubles: whether words may hold one number each. Two turned signs, each the highest bit of a word, would cancel.
    """
    words = octets[: len(octets) // 8 * 8].view(torch.int64)
    if doubles:
        words = _mixed(words)
    rows = len(words) // _ROW
    sums = torch.cat(
        [
            words[: rows * _ROW].reshape(rows, _ROW).sum(1),
            words[rows * _ROW :],
            octets[len(words) * 8 :].to(torch.int64),
        ]
    )
    return (_mixed(sums) * torch.arange(1, 2 * len(sums), 2, device=sums.device)).sum()


def _mixed(words: Int64[torch.Tensor, " n"]) -> Int64[torch.Tensor, " n"]:
    """Words whose lower half depends on their upper half too."""
    return words ^ (words >> 32)


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every submodule that takes hooks by its qualified name, the model itself left out.

    A part that was scripted (`torch.jit.script`) takes none, nor does anything inside of it.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if name and not isinstance(module, RecursiveScriptModule)
    }


def scripted_parts(model: nn.Module) -> list[str]:
    """The names of the parts that are TorchScript, the outermost of each."""
    return _outermost(model, lambda module: isinstance(module, torch.jit.ScriptModule))


def quantised_parts(model: nn.Module) -> list[str]:
    """The names of the parts that compute with whole numbers, the outermost of each."""
    return _outermost(model, lambda module: ".quantized" in type(module).__module__)


def _outermost(model: nn.Module, wanted: Callable[[nn.Module], bool]) -> list[str]:
    """The names of modules of some kind that are inside of no other one."""
    found: list[str] = []
    for name, module in model.named_modules():
        if wanted(module) and not any(name.startswith(f"{part}.") for part in found):
            found.append(name)
    return found


def check_not_scripted(model: nn.Module, what: str) -> None:
    """Refuse a model with a part in TorchScript, for what watches each step of the computation.

    Args:
        model: an unwrapped module.
        what: watches the steps, for the message.

    Raises:
        ModelError: naming the part.
    """
    for name in scripted_parts(model):
        raise ModelError(
            f"{name!r} is TorchScript, whose steps cannot be watched, as {what} must. Put the nn.Module it was made "
            "from in its place, or choose another method."
        )


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
    if any(layer == scripted for scripted, _ in model.named_modules()):
        raise LayerError(
            f"The layer {layer!r} is TorchScript, which takes no hooks. Choose a layer outside of it, or put the "
            "nn.Module it was scripted from in its place."
        )
    raise LayerError(
        f"There is no layer {layer!r} in this {type(model).__name__}.{nearest(layer, layers)} "
        "`camscope layers` lists the candidates; model.named_modules() lists all."
    )


def tensors_of(output: Any) -> Iterator[torch.Tensor]:
    """Every tensor in an output in their order, inside tuples, lists and mappings too."""
    if isinstance(output, torch.Tensor):
        yield output
    for _, value in _items(output):
        yield from tensors_of(value)


def count_tensors(output: Any) -> int:
    """How many tensors a module puts out, inside tuples, lists and mappings too."""
    return sum(1 for _ in tensors_of(output))


def change_tensors(output: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same output with other tensors in it; the very same, if none is changed.

    Args:
        output: tensors, perhaps inside tuples, lists and mappings.
        change: from a tensor to what takes its place, perhaps itself.
    """
    if isinstance(output, torch.Tensor):
        return change(output)
    parts = {key: (value, change_tensors(value, change)) for key, value in _items(output)}
    if all(after is before for before, after in parts.values()):
        return output
    if isinstance(output, tuple):
        values = [after for _, after in parts.values()]
        return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)
    changed = copy.copy(output)  # the mapping's own copy() does not fit those of classes with required fields
    for key, (_, after) in parts.items():
        changed[key] = after
    return changed


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
    first = first_tensor(output)
    return change_tensors(output, lambda other: tensor if other is first else other)


def _items(output: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(output, Mapping):
        yield from output.items()
    elif isinstance(output, (tuple, list)):
        yield from enumerate(output)
