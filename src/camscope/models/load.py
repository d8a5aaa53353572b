"""Models by name: demo, timm:NAME, torchvision:NAME, hf:NAME-OR-FOLDER, FILE.py:FACTORY, with weights or without."""

from __future__ import annotations

import dataclasses
import importlib.util
import pickle
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.errors import MissingExtraError, ModelError, nearest
from camscope.images import IMAGENET
from camscope.libraries import Known, recognise

_KINDS = ("demo", "timm:NAME", "torchvision:NAME", "hf:NAME-OR-FOLDER", "FILE.py:FACTORY")


@dataclass(frozen=True)
class Loaded:
    """A model and what is known of it."""

    model: Any
    known: Known


def load_model(spec: str, *, weights: str | Path | None = None, trust_pickle: bool = False) -> Loaded:
    """Build a model from its name.

    Args:
        spec: `demo`, `timm:NAME`, `torchvision:NAME`, `hf:NAME-OR-FOLDER` (Hugging Face) or `FILE.py:FACTORY` (a
            function without arguments that returns the model, or the model itself). The model may carry
            `preprocessing` and `class_names`.
        weights: a file (safetensors, or a PyTorch checkpoint read without running code in it), `random` for
            an untrained network, or None for the published weights.
        trust_pickle: read a checkpoint that can run code. Only for files you would run as a program.

    Raises:
        ModelError: for an unknown spec or name, weights that do not fit or cannot be had, a checkpoint that
            would run code.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(f"the model {spec!r}", "torch")
    kind, _, name = spec.partition(":")
    pretrained = weights is None
    if spec == "demo":
        from camscope.libraries import demo

        model, known = demo.create()
    elif kind == "timm" and name:
        from camscope.libraries import timm

        model, known = timm.know(timm.create(name, pretrained=pretrained))
    elif kind == "torchvision" and name:
        from camscope.libraries import torchvision

        model, known = torchvision.create(name, pretrained=pretrained)
    elif kind == "hf" and name:
        from camscope.libraries import huggingface

        model, known = huggingface.create(name, pretrained=pretrained)
    elif ".py" in spec:
        model, known = recognise(_from_file(spec))
        known = _presumed(known, spec)
    else:
        bare = f" Perhaps 'timm:{spec}' or 'torchvision:{spec}'?" if spec.isidentifier() else ""
        raise ModelError(
            f"{spec!r} names no model.{nearest(kind, ['demo', 'timm', 'torchvision', 'hf']) or bare} "
            f"A model is one of: {', '.join(_KINDS)}."
        )
    if weights is not None and str(weights) != "random":
        _fill(model, _read(Path(weights), trust_pickle), Path(weights))
    return Loaded(model, known)


def _presumed(known: Known, spec: str) -> Known:
    if known.preprocessing is not None or known.texts is not None:
        return known
    return dataclasses.replace(
        known,
        preprocessing=dataclasses.replace(IMAGENET, source="ImageNet standard (presumed)"),
        note=f"{spec} does not say how its photos are prepared; ImageNet's standard was presumed (resize 256, "
        "crop 224, its mean and std). Give the model an attribute: model.preprocessing = camscope.Preprocessing(…).",
    )


def _from_file(spec: str) -> Any:
    file, _, factory = spec.rpartition(":")
    if not factory or not file.endswith(".py"):
        raise ModelError(f"{spec!r}: say which function of the file builds the model, FILE.py:FACTORY.")
    path = Path(file)
    if not path.is_file():
        raise ModelError(f"There is no file {file}.")
    found = importlib.util.spec_from_file_location(f"camscope_user_{path.stem}", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = (
        module  # as the import system does: dataclasses and pickles look their module up
    )
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        found.loader.exec_module(module)
    except Exception as error:
        raise ModelError(f"{file} could not be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not hasattr(module, factory):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ModelError(f"{file} has no {factory!r}.{nearest(factory, public)}")
    made = getattr(module, factory)
    if not _holds_a_model(made):
        try:
            made = made()
        except Exception as error:
            raise ModelError(
                f"{spec}: calling {factory}() without arguments failed: {type(error).__name__}: {error}"
            ) from error
    if not _holds_a_model(made):
        raise ModelError(
            f"{spec}: {factory} gave {type(made).__name__}, not a torch.nn.Module (nor a pipeline or learner of one)."
        )
    return made


def _holds_a_model(made: Any) -> bool:
    """Whether it is a model, or what a library wraps around one."""
    import torch

    return isinstance(recognise(made)[0], torch.nn.Module)


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
            warnings.simplefilter("ignore")  # of odd pickles, which are refused anyway
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
    """The tensors by name, also inside a training checkpoint."""
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
            f"{path} holds no weights under a name known here; its keys are {list(checkpoint)[:8]}."
        )
    raise ModelError(f"{path} holds {type(checkpoint).__name__}, not the weights of a model.")


def _fill(model: Any, state: Mapping[str, Any], path: Path) -> None:
    names = model.state_dict()
    for prefix in ("module.", "_orig_mod.", "model.", "net."):
        if state and all(key.startswith(prefix) for key in state) and not any(key in names for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    missing = [key for key in names if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in names]
    shapes = [
        f"{key} is {tuple(state[key].shape)} in the file, {tuple(names[key].shape)} in the model"
        for key in names
        if key in state and tuple(state[key].shape) != tuple(names[key].shape)
    ]
    faults = [
        f"{what}: {', '.join(keys[:4])}{f' and {len(keys) - 4} more' if len(keys) > 4 else ''}"
        for what, keys in (
            ("missing in the file", missing),
            ("unknown to the model", unexpected),
            ("other shapes", shapes),
        )
        if keys
    ]
    if faults:
        raise ModelError(
            f"The weights in {path} do not fit this {type(model).__name__}. {'; '.join(faults)}."
        )
    model.load_state_dict(state, strict=False)
