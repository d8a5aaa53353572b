"""Reads a file of weights, or a whole pickled model if it is trusted."""

from __future__ import annotations

import contextlib
import pickle
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camscope.errors import MissingExtraError, ModelError
from camscope.libraries.checkpoints.stand_ins import class_of, is_module, parts_of, read_without_code
from camscope.models.file_kinds import nearest_file, why_no_weights

_DEEPEST = 6
"""How many dictionaries in one another are looked through."""


class CouldRunCodeError(ModelError):
    """A file cannot be read without running what it says."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        path: of the file.
        content: as it was read: mostly dictionaries; see `camscope.libraries.checkpoints.stand_ins`.
        tensors: all tensors in it, by their names with those of the dictionaries around them before them.
        said: text about it that the file's format has room for (safetensors).
    """

    path: Path
    content: Any
    tensors: Mapping[str, Any]
    said: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(path: Path, *, trust: bool = False) -> Checkpoint:
    """Read a file of weights. Unless it is trusted, no code in it is run.

    Args:
        path: a file of safetensors, or a PyTorch checkpoint.
        trust: whether code in it may run.

    Raises:
        ModelError: if it cannot be read, would run code, or holds no weights.
        MissingExtraError: if PyTorch is not installed.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("reading weights", "torch") from error
    if not path.exists():
        raise ModelError(f"There is no weights file '{path}'.{nearest_file(path)}")
    if told := why_no_weights(path):
        raise ModelError(told)
    if path.suffix == ".safetensors":
        tensors, said = _read_safetensors(path)
        return Checkpoint(path, tensors, tensors, said)
    content = _read_pickle(path, trust)
    tensors = dict(_tensors(content, "", _DEEPEST))
    if not tensors:
        raise ModelError(_without_weights(content, path))
    return Checkpoint(path, content, tensors)


def read_whole_model(path: Path) -> tuple[Any, Checkpoint]:
    """What a trusted file holds: a model, or a dictionary with one in it (or with weights alone); and all of it.

    Whatever the file says is run. Its classes are also looked for beside it and in the current folder.

    Args:
        path: of the file.

    Raises:
        ModelError: if it cannot be read, or is made of classes that are not found.
        MissingExtraError: if PyTorch is not installed.
    """
    try:
        from torch import nn
    except ImportError as error:
        raise MissingExtraError("reading models", "torch") from error
    if told := why_no_weights(path):
        raise ModelError(told)
    content = _read_pickle(path, trust=True)
    checkpoint = Checkpoint(path, content, dict(_tensors(content, "", _DEEPEST)))
    if not isinstance(content, Mapping):
        return content, checkpoint
    inner = [one for one in (content.get(name) for name in ("ema", "model", "net")) if one is not None]
    found = (one for one in [*inner, *content.values()] if isinstance(one, nn.Module))
    return next(found, content), checkpoint


def _shards(path: Path) -> list[Path]:
    """All files of a model that was saved in several (`model-00001-of-00003.safetensors`), of which one is given.

    Raises:
        ModelError: if one of them is not there.
    """
    numbered = re.fullmatch(r"(.+-)(\d+)(-of-)(\d+)(\.safetensors)", path.name)
    if numbered is None:
        return [path]
    start, digits, of, count, end = numbered.groups()
    names = [f"{start}{number:0{len(digits)}}{of}{count}{end}" for number in range(1, int(count) + 1)]
    missing = [name for name in names if not (path.parent / name).exists()]
    if missing:
        raise ModelError(
            f"{path} is one of {int(count)} files of a model, and {missing[0]} is not beside it."
        )
    return [path.parent / name for name in names]


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    tensors: dict[str, Any] = {}
    said: dict[str, str] = {}
    for shard in _shards(path):
        found, metadata = _read_shard(shard)
        tensors |= found
        said |= metadata
    return tensors, said


def _read_shard(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"{path} is not a readable safetensors file: {error}") from error


def _read_pickle(path: Path, trust: bool) -> Any:
    import torch

    with path.open("rb") as file:
        if not file.read(2).startswith((b"PK", b"\x80")):  # a zip, or a pickle
            raise ModelError(f"{path} is not a checkpoint: neither .safetensors nor saved by torch.save.")
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # they are about odd pickles, which are refused anyway
            if not trust:
                return read_without_code(path)
            with _importing_from(path.parent, Path()):
                return torch.load(path, map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        if not trust:
            raise
        raise ModelError(_unknown_class(path, error)) from error
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) and not trust:
            raise CouldRunCodeError(
                f"{path} holds more than tensors: reading it could run code, so it was refused. Save it as "
                "plain weights (torch.save(model.state_dict(), …) or safetensors); or, only if you trust the "
                "file like a program, --trust-pickle (trust_pickle=True in Python)."
            ) from error
        reason = f"{error}".partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise ModelError(f"{path} is not a readable checkpoint: {reason}.") from error


@contextlib.contextmanager
def _importing_from(*folders: Path) -> Iterator[None]:
    """Modules are found in these folders too."""
    added = [str(folder.resolve()) for folder in folders]
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


def _unknown_class(path: Path, error: Exception) -> str:
    """What to do where a whole model is made of classes that cannot be imported."""
    return (
        f"{path} holds a whole model, made of a class that is not found: {error}. A pickled model holds the names of "
        "its classes, not their code. Run camscope where they can be imported from (their package installed, or in the "
        "folder of their file); or write a file with a function that builds it, def build(): …, and give --model "
        f"FILE.py:build --weights {path}."
    )


def _tensors(found: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    """All tensors in what was read, by name."""
    import torch
    from torch import nn

    parts = found.state_dict() if isinstance(found, nn.Module) else parts_of(found)
    for name, one in parts.items():
        if not isinstance(name, str):
            continue
        if isinstance(one, torch.Tensor):
            yield f"{prefix}{name}", one
        elif depth and isinstance(one, (Mapping, nn.Module)):
            yield from _tensors(one, f"{prefix}{name}.", depth - 1)


def _without_weights(content: Any, path: Path) -> str:
    """What to say of a file that holds no weights by name."""
    import torch

    if is_module(content):
        return f"{path} holds a model without weights."
    if isinstance(content, Mapping) and not class_of(content):
        numbered = [name for name, one in content.items() if isinstance(one, torch.Tensor)]
        if numbered:
            return f"{path} holds tensors under {numbered[0]!r} and the like, not under the names of weights."
        return (
            f"{path} holds no weights; its keys are {list(content)[:8]}. Save the model's own: "
            "torch.save(model.state_dict(), …)."
        )
    kind = class_of(content) or type(content).__name__
    return (
        f"{path} holds {kind}, not the weights of a model. Save the model's own: "
        "torch.save(model.state_dict(), …)."
    )
