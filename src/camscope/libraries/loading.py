"""Loading models by name: demo, timm:NAME and what else a library registers; FILE.py:FACTORY; a run's folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.errors import ModelError, either, nearest
from camscope.images import IMAGENET
from camscope.libraries import training_runs
from camscope.libraries.factories import from_file, is_factory
from camscope.libraries.info import ModelInfo
from camscope.libraries.registry import libraries, library_of, recognise
from camscope.libraries.weights import RANDOM, fill
from camscope.models.file_suffixes import PROGRAM, why_no_program
from camscope.models.registry import unwrapped


@dataclass(frozen=True)
class Loaded:
    """A model and its info."""

    model: Any
    info: ModelInfo


def load_model(spec: str, *, weights: str | Path | None = None, trust_pickle: bool = False) -> Loaded:
    """Build a model from its name.

    Args:
        spec: `demo`, `timm:NAME`, `torchvision:NAME`, `hf:NAME-OR-FOLDER` (Hugging Face), `keras:NAME`,
            `keras:FILE.keras`, `FILE.py:FACTORY` (a function without arguments that returns the model, or the model
            itself), or the folder of a training run (`runs/NAME`). The model may carry `preprocessing` and
            `class_names`.
        weights: a file (safetensors, or a PyTorch checkpoint read without running code in it), `random` for
            an untrained network, or None for the published weights.
        trust_pickle: whether to read a checkpoint that can run code. Only for files you would run as a program.

    Raises:
        ModelError: for an unknown spec or name, weights that do not fit or cannot be fetched, or a checkpoint that
            would run code.
        MissingExtraError: if the model's library is not installed.
    """
    kind, colon, name = spec.partition(":")
    pretrained = weights is None
    library = next(
        (one for one in libraries() if one.scheme == kind and bool(one.wanted) == bool(name) == bool(colon)),
        None,
    )
    if library is not None:
        home = library.load()
        if not hasattr(home, "create"):
            raise ModelError(f"{library.home} makes no models by name: it has no function create.")
        files = {"trust_pickle": trust_pickle} if library.reads_files else {}
        model, info = home.create(name, pretrained=pretrained, **files)
        # of a FILE.py it is not known: its factory may have loaded weights
        missing = pretrained and info.untrained
        info = dataclasses.replace(info, untrained=missing or str(weights) == RANDOM)
    elif training_runs.is_run(spec):
        model, info = training_runs.open_run(spec, trained=pretrained)
    elif is_factory(spec):
        made = from_file(spec)
        model, info = recognise(unwrapped(made), wrapper=made)
        info = _presumed(info, spec)
    else:
        raise ModelError(_unknown(spec, kind))
    if weights is not None and str(weights) != RANDOM:
        own = library_of(model)
        if own is not None and hasattr(home := own.load(), "fill"):
            home.fill(model, Path(weights))
        else:
            fill(model, Path(weights), trust_pickle=trust_pickle)
        info = dataclasses.replace(info, untrained=False)
    return Loaded(model, info)


_READERS = {".onnx": "onnx", ".keras": "keras", ".h5": "keras", ".hdf5": "keras"}
"""By the suffix of a model's file, the library that reads it."""

_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")
"""Suffixes of files that mostly hold weights alone."""


def _unknown(spec: str, kind: str) -> str:
    named = [library for library in libraries() if library.scheme]
    suffix = Path(spec).suffix
    reader = _READERS.get(suffix)
    if reader is not None and kind == spec:
        return f"{spec!r} names no model. A file is named with what reads it: '{reader}:{spec}'."
    if suffix == PROGRAM:
        return why_no_program(spec)
    weights = suffix in _WEIGHTS and kind == spec and not training_runs.is_run(Path(spec).parent)
    if not weights and (told := training_runs.why_no_run(spec)):
        return told
    if weights:
        return (
            f"{spec!r} names no model. Such a file holds weights, which go with the model they are of: "
            f"--model timm:NAME --weights {spec} (weights={spec!r} in Python), or --model FILE.py:FACTORY."
        )
    bare = f" Perhaps 'timm:{spec}' or 'torchvision:{spec}'?" if spec.isidentifier() else ""
    written = [*(library.written for library in named), "FILE.py:FACTORY", "runs/NAME"]
    return (
        f"{spec!r} names no model.{nearest(kind, [library.scheme for library in named]) or bare} "
        f"A model is one of: {', '.join(written)}."
    )


def _presumed(info: ModelInfo, spec: str) -> ModelInfo:
    if info.preprocessing is not None or info.texts is not None:
        return info
    return dataclasses.replace(
        info,
        preprocessing=dataclasses.replace(IMAGENET, source="ImageNet standard (presumed)"),
        note=f"{spec} does not say how its photos are prepared; ImageNet's standard was presumed (resize 256, "
        "crop 224, its mean and std). "
        + either(
            "Give the model an attribute: model.preprocessing = camscope.Preprocessing(…).",
            "Say it: --preprocessing.",
        ),
    )
