"""The whole state of a training in one file: a run that was killed goes on from it, and ends bit for bit the same.

A file of safetensors: the tensors of the model and of the optimiser and torch's random state; the rest is JSON in its
header. Reading it runs no code. It is written aside and renamed, so that it is whole or not there, and the one before
stays until then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.errors import InputError, ModelError
from camscope.surviving import written_aside

_MODEL, _OPTIMISER, _RANDOM = "model.", "optimiser.", "random."
_HEADER = "camscope"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        tensors: of model, optimiser and random state, by name.
        facts: the rest, as JSON has it.
    """

    tensors: Mapping[str, Any]
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, model: Any, optimiser: Any, facts: Mapping[str, Any], scaler: Any = None) -> Checkpoint:
        """The state as it is now.

        Args:
            model: a `torch.nn.Module`; its buffers belong to it too.
            optimiser: a torch optimiser; learning rates and momentum are the schedule's and not kept.
            facts: what else is wanted, as JSON has it.
            scaler: of the loss, in half precision; or None.
        """
        import torch

        tensors = {f"{_MODEL}{name}": value for name, value in model.state_dict().items()}
        for number, state in optimiser.state_dict()["state"].items():
            tensors |= {f"{_OPTIMISER}{number}.{name}": value for name, value in state.items()}
        tensors[f"{_RANDOM}cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors |= {f"{_RANDOM}cuda{i}": one for i, one in enumerate(torch.cuda.get_rng_state_all())}
        scale = {} if scaler is None else {"scaler": scaler.state_dict()}
        return cls(tensors, {**facts, **scale})

    def restore(self, model: Any, optimiser: Any, scaler: Any = None) -> None:
        """Put a model, an optimiser and torch's random state where they were.

        Args:
            model: built as the one that was saved.
            optimiser: likewise.
            scaler: likewise; or None.

        Raises:
            ModelError: if the state is that of another model.
        """
        import torch

        own = model.state_dict()
        weights = self._under(_MODEL)
        odd = [
            n
            for n in own.keys() | weights.keys()
            if n not in own or n not in weights or own[n].shape != weights[n].shape
        ]
        if odd:
            raise ModelError(
                f"The checkpoint is of another model: {', '.join(sorted(odd)[:3])} and {max(len(odd) - 3, 0)} more of "
                f"its {len(weights)} tensors are not those of this {type(model).__name__}. Give the run another --name."
            )
        model.load_state_dict(weights)
        states: dict[int, dict[str, Any]] = {}
        for key, value in self._under(_OPTIMISER).items():
            number, _, name = key.partition(".")
            states.setdefault(int(number), {})[name] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": states, "param_groups": groups})
        if scaler is not None and "scaler" in self.facts:
            scaler.load_state_dict(self.facts["scaler"])
        random = self._under(_RANDOM)
        torch.set_rng_state(random.pop("cpu"))
        if torch.cuda.is_available() and random:
            torch.cuda.set_rng_state_all([random[f"cuda{i}"] for i in range(len(random))])

    def _under(self, prefix: str) -> dict[str, Any]:
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in the place of the one before.

    Args:
        path: the file.
        checkpoint: what it holds.

    Raises:
        InputError: if it cannot be written, on a full disk say; the one before is still there.
    """
    write_tensors(path, checkpoint.tensors, {_HEADER: json.dumps(checkpoint.facts)})


def read_checkpoint(path: Path) -> Checkpoint | None:
    """A checkpoint, or None if there is none.

    Args:
        path: the file.

    Raises:
        ModelError: if it is not what `write_checkpoint` wrote.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})[_HEADER])
            return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, facts)  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ModelError(
            f"{path} is no checkpoint of a training: {error}. Without it the run begins anew: delete it, or take "
            "another --name."
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Any], header: Mapping[str, str] | None = None) -> None:
    """Write a file of safetensors in the place of the one before.

    Args:
        path: the file.
        tensors: of torch, by name; some may be views of the same memory.
        header: of the file.

    Raises:
        InputError: if it cannot be written; the one before is still there.
    """
    from safetensors.torch import save

    host = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    seen: set[int] = set()
    for name, value in host.items():
        if value.untyped_storage().data_ptr() in seen:
            host[name] = value.clone()
        seen.add(value.untyped_storage().data_ptr())
    content = save(host, dict(header or {}))
    try:
        with written_aside(path) as aside, aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            f"{path} could not be written: {error.strerror or error}. What was there before still is; make room, and "
            f"go on with --resume."
        ) from error
