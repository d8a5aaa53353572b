"""The folder of a training run is a model: its `run.json` says which, and its best weights lie beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from camscope.errors import ModelError
from camscope.images import Preprocessing
from camscope.libraries.factories import digest_of, is_factory
from camscope.libraries.info import ModelInfo
from camscope.libraries.trainable import build_trainable
from camscope.libraries.weights import RANDOM, fill
from camscope.models.file_kinds import WEIGHTS
from camscope.outputs import Task

RUN_FILE = "run.json"
BEST = "best.safetensors"
LAST = "last.safetensors"


@dataclass(frozen=True)
class RunModel:
    """What a run's folder says of its model.

    Attributes:
        folder: of the run.
        spec: the model's name, as `build_trainable` takes it.
        shape: what else it takes.
        classes: the names of the outputs.
        task: what the outputs mean.
        preprocessing: how photos are prepared.
        file_digest: the SHA-256 that the file of `FILE.py:FACTORY` had; empty for other models.
    """

    folder: Path
    spec: str
    shape: Mapping[str, Any]
    classes: tuple[str, ...]
    task: Task
    preprocessing: Preprocessing
    file_digest: str

    def notes(self) -> list[str]:
        """What has changed since the run began.

        Raises:
            ModelError: if the file of `FILE.py:FACTORY` is gone.
        """
        if not is_factory(self.spec):
            return []
        file = self.spec.rpartition(":")[0]
        if not Path(file).is_file():
            raise ModelError(
                f"{self.folder} was trained from {self.spec}, and there is no file {file} any more. Put it back, or "
                f'write its new place into {self.folder / RUN_FILE} ("model": {{"spec": …}}).'
            )
        changed = digest_of(self.spec) != self.file_digest
        return [f"{file} has changed since {self.folder} was trained from it."] if changed else []

    def build(self) -> Any:
        """The model, untrained.

        Raises:
            ModelError: if it was an object without a name, or cannot be built any more.
        """
        if not self.spec:
            raise ModelError(
                f"{self.folder} was trained from an object and not from a name, so it cannot be built from the folder. "
                f"Build it yourself, load {self.folder / BEST} (safetensors) and explain that; or train from "
                "FILE.py:FACTORY."
            )
        return build_trainable(self.spec, classes=len(self.classes), weights=RANDOM, shape=self.shape).model


def is_run(spec: str | Path) -> bool:
    """Whether a path is the folder of a training run."""
    return (Path(spec) / RUN_FILE).is_file()


def why_no_run(spec: str) -> str:
    """Why a path that looks like one names no run, for a message; empty if it does not look like one."""
    path = Path(spec)
    if path.is_file() and is_run(path.parent):
        return f"'{spec}' is a file of a training run. Its folder is the model: '{path.parent}'."
    if path.is_dir():
        runs = sorted(str(one.parent) for one in path.glob(f"*/{RUN_FILE}"))
        inside = f" Runs in it: {', '.join(runs[:5])}{' …' if len(runs) > 5 else ''}." if runs else ""
        files = sorted(one.name for one in path.iterdir() if one.suffix in WEIGHTS)
        if files and not runs and not (path / "config.json").is_file():
            inside = (
                f" Files in it are for --weights, with the model that they are of: {', '.join(files[:5])}."
            )
        hub = f" A folder of Hugging Face's is 'hf:{spec}'." if (path / "config.json").is_file() else ""
        return f"The folder '{spec}' is no training run: it has no {RUN_FILE}.{inside}{hub}"
    if "/" in spec and ":" not in spec and path.parent.is_dir():
        runs = sorted(str(one.parent) for one in path.parent.glob(f"*/{RUN_FILE}"))
        inside = f" Runs there: {', '.join(runs[:5])}{' …' if len(runs) > 5 else ''}." if runs else ""
        return f"There is no folder '{spec}'.{inside} (A model of a library is named like timm:resnet18.)"
    return ""


def read_document(folder: str | Path) -> dict[str, Any]:
    """What a run's `run.json` says.

    Args:
        folder: of the run.

    Raises:
        ModelError: if there is none, or it is not readable.
    """
    path = Path(folder) / RUN_FILE
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ModelError(
            f"{path} is no JSON: {error}. It is written when a run begins; copy it whole."
        ) from error
    if not isinstance(document, dict):
        raise ModelError(f"{path} holds {type(document).__name__}, not what a training run writes.")
    return document


def read_run(folder: str | Path) -> RunModel:
    """What a run's folder says of its model.

    Args:
        folder: of the run.

    Raises:
        ModelError: if its `run.json` is not readable, or lacks something.
    """
    folder = Path(folder)
    document = read_document(folder)
    try:
        model, fields = document["model"], document["preprocessing"]
        task = document["task"]
        if task not in get_args(Task):
            raise ValueError(f"there is no task {task!r}")
        return RunModel(
            folder=folder,
            spec=str(model["spec"]),
            shape=dict(model["shape"]),
            classes=tuple(str(name) for name in document["classes"]),
            task=task,
            preprocessing=Preprocessing.from_dict(fields),
            file_digest=str(model.get("file_sha256", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{folder / RUN_FILE} is not what `camscope train` writes: {what}.") from error


def open_run(folder: str | Path, *, trained: bool = True) -> tuple[Any, ModelInfo]:
    """The model of a run with its best weights, and its info.

    Args:
        folder: of the run.
        trained: whether its weights are loaded.

    Raises:
        ModelError: if something of the run is missing or does not fit.
        MissingExtraError: if the model's library is not installed.
    """
    run = read_run(folder)
    notes = run.notes()
    best = run.folder / BEST
    if trained and not best.is_file():
        if (last := run.folder / LAST).is_file():
            raise ModelError(
                f"The run {run.folder} has lost {BEST}. Copy it back, or take the weights of the last epoch: "
                f"--model {run.folder} --weights {last}."
            )
        raise ModelError(
            f"The run {run.folder} has no weights yet: they are written at the end of the first epoch. Go on with it: "
            f"camscope train --resume --name {run.folder.name} --out {run.folder.parent}"
        )
    model = run.build()
    if trained:
        fill(model, best)
    return model, ModelInfo(
        preprocessing=run.preprocessing,
        class_names=list(run.classes),
        name=f"{run.folder} ({run.spec})",
        note=" ".join(notes),
        task=run.task,
        untrained=not trained,
    )
