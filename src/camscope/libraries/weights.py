"""Loads weights from a file into a PyTorch model, without running code that the file may hold."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camscope.errors import MissingExtraError, ModelError

RANDOM = "random"
"""The word in place of a weights file that asks for an untrained network."""


def fill(model: Any, path: Path, *, trust_pickle: bool = False, new_head: str | None = None) -> bool:
    """Load the weights in a file into a model.

    Args:
        model: a `torch.nn.Module`.
        path: a file of safetensors, or a PyTorch checkpoint.
        trust_pickle: whether to read a checkpoint that can run code.
        new_head: the name of a layer that keeps its own weights if the file has none for it, or has those for another
            number of classes.

    Returns:
        Whether that layer was filled too; True without one.

    Raises:
        ModelError: if the file cannot be read, would run code, or does not fit.
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
    state = _without_prefix(_read(path, trust_pickle), model, path)
    whole = new_head is None or _fits(state, model, new_head)
    if not whole:
        state = {key: value for key, value in state.items() if not _under(key, new_head)}
        state |= {key: value for key, value in model.state_dict().items() if _under(key, new_head)}
    _fill(model, state, path)
    return whole


def _under(name: str, layer: str | None) -> bool:
    return name.startswith(f"{layer}.")


def _fits(state: Mapping[str, Any], model: Any, layer: str) -> bool:
    """Whether the file has every tensor of a layer, in the model's shape."""
    own = {key: value for key, value in model.state_dict().items() if _under(key, layer)}
    return all(key in state and state[key].shape == value.shape for key, value in own.items())


def _read(path: Path, trust_pickle: bool) -> Mapping[str, Any]:
    import torch

    if not path.is_file():
        raise ModelError(f"There is no weights file '{path}'.")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ModelError(f"{path} is not a readable safetensors file: {error}") from error
    with path.open("rb") as file:
        if not file.read(2).startswith((b"PK", b"\x80")):  # a zip, or a pickle
            raise ModelError(f"{path} is not a checkpoint: neither .safetensors nor saved by torch.save.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about odd pickles, which are refused anyway
            checkpoint = torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) and not trust_pickle:
            raise ModelError(
                f"{path} holds more than tensors: reading it could run code, so it was refused. Save it as "
                "plain weights (torch.save(model.state_dict(), …) or safetensors); or, only if you trust the "
                "file like a program, --trust-pickle (trust_pickle=True in Python)."
            ) from error
        reason = f"{error}".partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise ModelError(f"{path} is not a readable checkpoint: {reason}.") from error
    return _state_dict(checkpoint, path)


def _state_dict(checkpoint: Any, path: Path) -> Mapping[str, Any]:
    """The tensors by name, which may lie inside a training checkpoint."""
    import torch

    if isinstance(checkpoint, torch.nn.Module):
        return checkpoint.state_dict()
    if isinstance(checkpoint, Mapping):
        if checkpoint and all(isinstance(value, torch.Tensor) for value in checkpoint.values()):
            return checkpoint
        for key in ("state_dict", "model_state_dict", "model", "net", "model_ema"):
            if key in checkpoint:
                return _state_dict(checkpoint[key], path)
        raise ModelError(
            f"{path} holds no weights under a name that camscope looks for; its keys are {list(checkpoint)[:8]}. Save "
            "the model's own: torch.save(model.state_dict(), …)."
        )
    raise ModelError(f"{path} holds {type(checkpoint).__name__}, not the weights of a model.")


def _cannot_become(weight: Any, own: Any) -> str:
    """What a tensor of a file holds if that cannot stand for the model's own numbers; empty if it can."""
    if weight.is_meta:
        return "a shape without values"
    if weight.is_quantized:
        return f"quantised numbers ({weight.dtype})"
    lost = weight.is_complex() and not own.is_complex()
    coded = own.is_floating_point() and not (weight.is_floating_point() or weight.is_complex())
    return str(weight.dtype) if lost or coded else ""


def _without_prefix(state: Mapping[str, Any], model: Any, path: Path) -> dict[str, Any]:
    """The tensors, dense, under the model's own names, where a wrapper has put a word before all of them."""
    import torch

    if strange := [key for key in state if not isinstance(key, str)]:
        raise ModelError(
            f"{path} holds tensors under {strange[0]!r} and the like, not under the names of weights."
        )
    state = {
        key: value.to_dense() if value.layout != torch.strided else value for key, value in state.items()
    }
    names = model.state_dict()
    for prefix in ("module.", "_orig_mod.", "model.", "net."):
        if state and all(key.startswith(prefix) for key in state) and not any(key in names for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _fill(model: Any, state: Mapping[str, Any], path: Path) -> None:
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
        raise ModelError(
            f"The weights in {path} do not fit this {type(model).__name__}. {'; '.join(faults)}."
        )
    model.load_state_dict(state, strict=False)
