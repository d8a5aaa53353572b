"""The files of a watched training: one for the samples, one for each look, each whole or not there at all."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from camscope.results.npz import Archive
from camscope.results.saving import finite
from camscope.surviving import written_aside
from camscope.watching.looks import Look, Moment

SAMPLES = "samples.npz"
"""The file of the samples, and of what stays the same for the whole training."""

FORMAT = 1
"""The version of the files."""

BROKEN = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, OverflowError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What reading a broken file raises."""

_ARRAYS = ("maps", "scales", "scores", "probabilities", "classes", "top", "top_probabilities")


def steps_in(folder: Path) -> list[int]:
    """The steps of which there is a file, in their order."""
    found = (re.fullmatch(r"step-(\d{9,})\.npz", path.name) for path in folder.glob("step-*.npz"))
    return sorted(int(match[1]) for match in found if match)


def path_of(folder: Path, step: int) -> Path:
    """The file of the look after a step."""
    return folder / f"step-{step:09d}.npz"


def write(path: Path, arrays: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> None:
    """Write arrays and JSON into one file: beside its place first, so that a kill leaves it whole or not there.

    Args:
        path: the file.
        arrays: by name.
        document: plain values, which become the array `json`, a string.

    Raises:
        OSError, InputError: if it cannot be written; nothing is left behind then.
    """
    text = json.dumps(finite({"format": FORMAT, **document}), ensure_ascii=False, allow_nan=False)
    with written_aside(path) as aside, aside.open("wb") as file:
        np.savez(file, allow_pickle=False, json=np.array(text), **arrays)


def document_of(file: Archive) -> dict[str, Any]:
    """The JSON in a file.

    Raises:
        ValueError: if it is of another version.
        KeyError: if there is none.
    """
    document: dict[str, Any] = json.loads(str(file["json"]))
    if document["format"] != FORMAT:
        raise ValueError(f"its format is {document['format']}, this version reads {FORMAT}")
    return document


def write_look(folder: Path, look: Look, missing: list[dict[str, Any]]) -> None:
    """Write a look, in place of an older one after the same step.

    Args:
        folder: the recorder's.
        look: what was seen.
        missing: the looks since the last one that could not be kept: step, epoch and reason.

    Raises:
        OSError, InputError: if it cannot be written.
    """
    document = {
        **dataclasses.asdict(look.moment),
        "titles": look.titles,
        "statuses": look.statuses,
        "weights_sha256": look.weights,
        "notes": look.notes,
        "missing": missing,
    }
    write(path_of(folder, look.moment.step), {name: getattr(look, name) for name in _ARRAYS}, document)


def read_look(path: Path, samples: int) -> tuple[Look, list[dict[str, Any]]]:
    """A look, and those before it that could not be kept.

    Args:
        path: the file.
        samples: how many samples there are.

    Raises:
        ValueError and others of `BROKEN`: if it is none.
    """
    with Archive(path) as file:
        document = document_of(file)
        arrays = {name: file[name] for name in _ARRAYS}
    shape = arrays["maps"].shape[:2]
    for name, array in arrays.items():
        wanted = shape[:1] if name.startswith("top") else shape
        if array.shape[: len(wanted)] != wanted or (name != "maps" and array.ndim != len(wanted)):
            raise ValueError(f"{name!r} has shape {array.shape}, where its maps need {wanted}")
    if shape[0] != samples:
        raise ValueError(f"it is of {shape[0]} samples, and there are {samples}")
    numbers = {
        name: [_back(one) for one in value] if isinstance(value, list) else _back(value)
        for name, value in document["numbers"].items()
    }
    moment = Moment(int(document["step"]), int(document["epoch"]), bool(document["epoch_end"]), numbers)
    look = Look(
        moment=moment,
        titles=tuple(map(tuple, document["titles"])),
        statuses=tuple(map(tuple, document["statuses"])),
        weights=str(document["weights_sha256"]),
        notes=tuple(document["notes"]),
        **arrays,
    )
    return look, list(document["missing"])


def forget_after(folder: Path, step: int) -> None:
    """Take away the looks after later steps, and what killed writes have left."""
    for later in steps_in(folder):
        if later > step:
            path_of(folder, later).unlink()
    for left in [*folder.glob(".step-*.npz.*"), *folder.glob(f".{SAMPLES}.*")]:
        shutil.rmtree(left, ignore_errors=True)


def _back(number: float | None) -> float:
    """JSON has no NaN or infinity; they were written as null."""
    return float("nan") if number is None else float(number)
