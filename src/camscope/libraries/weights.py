"""Loads weights from a file into a PyTorch model, without running code that the file may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.errors import MissingExtraError, ModelError
from camscope.libraries.checkpoints import Checkpoint, fit, read_checkpoint
from camscope.libraries.checkpoints.misfits import why_no_fit

RANDOM = "random"
"""The word in place of a weights file that asks for an untrained network."""


@dataclass(frozen=True)
class Filled:
    """What came of loading weights into a model.

    Attributes:
        head: whether the layer that might have kept its own weights was filled too.
        notes: what is to be said of the file.
    """

    head: bool
    notes: tuple[str, ...]


def fill(model: Any, path: Path, *, trust_pickle: bool = False, new_head: str | None = None) -> Filled:
    """Load the weights in a file into a model.

    Args:
        model: a `torch.nn.Module`.
        path: a file of safetensors, or a PyTorch checkpoint.
        trust_pickle: whether to read a checkpoint that can run code.
        new_head: the name of a layer that keeps its own weights if the file has none for it, or has those for another
            number of classes.

    Raises:
        ModelError: if the file cannot be read, would run code, or does not fit.
        MissingExtraError: if PyTorch is not installed.
    """
    check_takes_weights(model)
    checkpoint = read_checkpoint(path, trust=trust_pickle)
    found = fit(checkpoint, model)
    state = found.state
    whole = new_head is None or _has(state, model, new_head)
    if not whole:
        state = {key: value for key, value in state.items() if not _under(key, new_head)}
        state = state | {key: value for key, value in model.state_dict().items() if _under(key, new_head)}
    put(model, state, checkpoint)
    return Filled(whole, tuple(found.notes()))


def check_takes_weights(model: Any) -> None:
    """Refuse a model of another framework than PyTorch.

    Raises:
        ModelError: if it is one.
        MissingExtraError: if PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("reading weights", "torch") from error
    if not isinstance(model, torch.nn.Module):
        raise ModelError(
            f"A weights file is for a torch.nn.Module; a {type(model).__name__} comes with its own."
        )


def _under(name: str, layer: str | None) -> bool:
    return name.startswith(f"{layer}.")


def _has(state: Mapping[str, Any], model: Any, layer: str) -> bool:
    """Whether a file has every tensor of a layer, in the model's shape."""
    own = {key: value for key, value in model.state_dict().items() if _under(key, layer)}
    return all(key in state and state[key].shape == value.shape for key, value in own.items())


def _cannot_become(weight: Any, own: Any) -> str:
    """What a tensor of a file holds if that cannot stand for the model's own numbers; empty if it can."""
    if weight.is_meta:
        return "a shape without values"
    if weight.is_quantized:
        return f"quantised numbers ({weight.dtype})"
    lost = weight.is_complex() and not own.is_complex()
    coded = own.is_floating_point() and not (weight.is_floating_point() or weight.is_complex())
    return str(weight.dtype) if lost or coded else ""


def put(model: Any, state: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Load weights into a model that they must fit, each of them.

    Args:
        model: a `torch.nn.Module`.
        state: the weights by the model's names.
        checkpoint: where they come from.

    Raises:
        ModelError: if they do not fit, naming the first that do not, and why that may be.
    """
    names = model.state_dict()
    missing = [key for key in names if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in names]
    shapes = [
        f"{key} is {tuple(state[key].shape)} in the file, {tuple(names[key].shape)} in the model"
        for key in names
        if key in state and tuple(state[key].shape) != tuple(names[key].shape)
    ]
    kinds = [
        f"{key} holds {told} in the file, {names[key].dtype} in the model"
        for key in names
        if key in state and (told := _cannot_become(state[key], names[key]))
    ]
    faults = [
        f"{what}: {', '.join(keys[:4])}{f' and {len(keys) - 4} more' if len(keys) > 4 else ''}"
        for what, keys in (
            ("missing in the file", missing),
            ("unknown to the model", unexpected),
            ("other shapes", shapes),
            ("other kinds of numbers", kinds),
        )
        if keys
    ]
    if faults:
        reason = why_no_fit(state, model, checkpoint) if missing or unexpected or shapes else ""
        raise ModelError(
            f"The weights in {checkpoint.path} do not fit this {type(model).__name__}. {'; '.join(faults)}.{reason}"
        )
    model.load_state_dict(state, strict=False)
