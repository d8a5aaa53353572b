"""Whole pickled models: `torch.save(model, FILE)`, or an exported fastai learner. Reading one runs what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from camscope.errors import ModelError
from camscope.libraries.checkpoints import Checkpoint, class_names_in, read_checkpoint, read_whole_model
from camscope.libraries.checkpoints.architectures import architectures_of
from camscope.libraries.checkpoints.reading import CouldRunCodeError
from camscope.libraries.checkpoints.stand_ins import class_of, is_module, parts_of
from camscope.libraries.heads import outputs_of
from camscope.libraries.info import ModelInfo
from camscope.libraries.registry import recognise
from camscope.models.file_kinds import WEIGHTS, what_it_is
from camscope.models.registry import framework_of, unwrapped


def may_be_pickled(path: Path) -> bool:
    """Whether a file could hold a whole model, or weights, as long as it is not seen to be something else."""
    return path.suffix in WEIGHTS and not what_it_is(path, no="pytorch")


def open_pickled(path: Path, *, trust: bool) -> tuple[Any, ModelInfo]:
    """The model in a file, and its info.

    Args:
        path: of the file.
        trust: whether what it says may be run.

    Raises:
        ModelError: if it is not trusted, cannot be read, or holds no model; saying which way works.
    """
    if not trust or path.suffix == ".safetensors":
        raise ModelError(_untrusted(path))
    made, checkpoint = read_whole_model(path)
    if framework_of(recognise(made)[0]) is None:
        if not checkpoint.tensors:
            raise ModelError(f"{path} holds {type(made).__name__}, and no model.")
        raise ModelError(_no_model(path, checkpoint))
    model, info = recognise(unwrapped(made), wrapper=made)
    if info.class_names is None and (outputs := outputs_of(model)):
        info = dataclasses.replace(info, class_names=class_names_in(checkpoint, outputs))
    return model, info


def _untrusted(path: Path) -> str:
    """What a file that was given for a model holds, without running it, and the ways that work."""
    trusted = (
        f"Reading it runs what the file says, so only if you trust it like a program: --model {path} --trust-pickle "
        "(trust_pickle=True in Python)."
    )
    try:
        checkpoint = read_checkpoint(path)
    except CouldRunCodeError:
        return f"{path} holds more than tensors: a whole pickled model, perhaps, or a learner. {trusted}"
    found = [checkpoint.content, *parts_of(checkpoint.content).values()]
    whole = next((one for one in found if is_module(one)), None)
    if whole is None:
        return _no_model(path, checkpoint)
    weights = " or ".join(f"--model {name} --weights {path}" for name in architectures_of(checkpoint))
    way = f" Its weights alone run nothing: {weights}." if weights else ""
    return f"{path} holds a whole pickled model ({class_of(whole)}). {trusted}{way}"


def _no_model(path: Path, checkpoint: Checkpoint) -> str:
    found = architectures_of(checkpoint)
    commands = " or ".join(f"--model {name} --weights {path}" for name in found)
    if not found and (path.parent / "config.json").is_file():
        return (
            f"{path} holds weights, and the model that they are of is the folder: --model hf:{path.parent}."
        )
    way = (
        f"They fit {' and '.join(found)}: {commands}"
        if found
        else f"Give both: --model timm:NAME --weights {path}"
    )
    return (
        f"{path} holds weights, and not the model that they are of. {way} (weights={str(path)!r} in Python), or "
        "--model FILE.py:FACTORY."
    )
