"""Loading models by name: demo, timm:NAME, hf:NAME-OR-FOLDER and whatever a library registers; FILE.py:FACTORY."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.errors import ModelError, nearest
from camscope.images import IMAGENET
from camscope.libraries.info import ModelInfo
from camscope.libraries.registry import libraries, library_of, recognise
from camscope.libraries.weights import fill
from camscope.models.file_suffixes import PROGRAM, why_no_program
from camscope.models.registry import framework_of, known_frameworks, unwrapped

RANDOM = "random"
"""The word in place of a weights file that asks for an untrained network."""


@dataclass(frozen=True)
class Loaded:
    """A model and its info."""

    model: Any
    info: ModelInfo


def load_model(spec: str, *, weights: str | Path | None = None, trust_pickle: bool = False) -> Loaded:
    """Build a model from its name.

    Args:
        spec: `demo`, `timm:NAME`, `torchvision:NAME`, `hf:NAME-OR-FOLDER` (Hugging Face), `keras:NAME`,
            `keras:FILE.keras` or `FILE.py:FACTORY` (a function without arguments that returns the model, or the model
            itself). The model may carry `preprocessing` and `class_names`.
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
    elif ".py" in spec:
        made = _from_file(spec)
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
    if suffix in _WEIGHTS and kind == spec:
        return (
            f"{spec!r} names no model. Such a file holds weights, which go with the model they are of: "
            f"--model timm:NAME --weights {spec} (weights={spec!r} in Python), or --model FILE.py:FACTORY."
        )
    bare = f" Perhaps 'timm:{spec}' or 'torchvision:{spec}'?" if spec.isidentifier() else ""
    bare = f" Perhaps 'hf:{spec}'?" if kind == spec and Path(spec).is_dir() else bare
    written = [*(library.written for library in named), "FILE.py:FACTORY"]
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
        "crop 224, its mean and std). Give the model an attribute: model.preprocessing = camscope.Preprocessing(…).",
    )


def _from_file(spec: str) -> Any:
    """What a file's factory makes. What the file prints goes to stderr: stdout may be read by a program."""
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
        module  # the import system does the same, since dataclasses and pickles look their module up
    )
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ModelError(f"{file} could not be run: {_what_happened(error)}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not hasattr(module, factory):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ModelError(f"{file} has no {factory!r}.{nearest(factory, public)}")
    made = getattr(module, factory)
    if not _holds_a_model(made):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                made = made()
        except (Exception, SystemExit) as error:
            raise ModelError(
                f"{spec}: calling {factory}() without arguments failed: {_what_happened(error)}"
            ) from error
    if not _holds_a_model(made):
        raise ModelError(
            f"{spec}: {factory} gave {type(made).__name__}; expected a model of {', '.join(known_frameworks())} "
            "(or a pipeline or learner of one)."
        )
    return made


def _what_happened(error: BaseException) -> str:
    """An error in the user's file, in words."""
    if isinstance(error, SystemExit):
        return f"it ended the program by sys.exit({'' if error.code is None else repr(error.code)})"
    return f"{type(error).__name__}: {error}"


def _holds_a_model(made: Any) -> bool:
    """Whether an object is a model, or something that a library wraps around one."""
    return framework_of(recognise(made)[0]) is not None
