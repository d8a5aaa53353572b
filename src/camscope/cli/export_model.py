"""`camscope export`: a model with its maps in one file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.markup import escape

from camscope.cli.files import read_class_names
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.showing import show_files, show_notes
from camscope.errors import InputError, without_warnings
from camscope.exporting import Exported
from camscope.exporting import export as write
from camscope.outputs import Task


def export(
    *,
    out: Path,
    model: str = "demo",
    method: str | None = None,
    layer: str | None = None,
    top: int | None = None,
    size: int | None = None,
    weights: str | None = None,
    classes: Path | None = None,
    preprocessing: Annotated[str | None, Parameter(negative="", allow_leading_hyphen=True)] = None,
    task: Task | None = None,
    device: str | None = None,
    trust_pickle: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Write a model with its maps as one file, which runs without camscope: logits, the top classes, and their maps.

    The file is run on a test batch and held against camscope's own maps before it takes its place. How photos are
    prepared, and what the classes are called, stands in its metadata.

    Parameters
    ----------
    out
        The file: .onnx (ONNX Runtime, OpenVINO …) or .pt2 (PyTorch's own).
    model
        demo, timm:NAME, torchvision:NAME, hf:NAME-OR-FOLDER or FILE.py:FACTORY.
    method
        Default: cam where the model has a linear head, else gradcam. hirescam, layercam and a few others too.
    layer
        `camscope layers` lists them. Default: chosen automatically.
    top
        Of how many classes there are maps. Default: 5, or all of fewer.
    size
        Side of the square input in pixels, if it is not the model's own.
    weights
        A weights file, or `random`.
    classes
        A file of class names, one a line.
    preprocessing
        How photos are prepared, as for `camscope explain`, where the model does not say it. It goes into the file.
    task
        What the outputs mean, where that is not to be found out.
    device
        cpu, cuda, cuda:1, mps …
    trust_pickle
        Read a checkpoint that can run code. Only for files you would run as a program.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    if size is not None and size < 1:
        raise InputError(f"--size {size}: expected a number of pixels, at least 1.")
    with quiet_stdout(as_json), without_warnings():
        done = write(
            model,
            out,
            method=method,
            layer=layer,
            top=top,
            size=None if size is None else (size, size),
            weights=weights,
            class_names=read_class_names(classes) if classes else None,
            preprocessing=preprocessing,
            task=task,
            device=device,
            trust_pickle=trust_pickle,
        )
    if as_json:
        print_json(_facts(done))
        return
    people = console()
    checked = done.verified
    maps, inputs = ("×".join(map(str, size)) for size in (done.map_size, done.input_size))
    people.print(
        f"{escape(done.method)} at [bold]{escape(done.layer)}[/]: maps of {maps} for the top {done.top} of "
        f"{done.classes} classes; batches of {inputs}",
        soft_wrap=True,
    )
    people.print(
        f"verified on {checked.rows} inputs ({checked.runtime}): maps differ from camscope's by {checked.maps:.0e} of "
        f"their largest value, logits by {checked.logits:.0e}",
        markup=False,
        soft_wrap=True,
    )
    show_notes(people, done.notes)
    show_files(people, [f"{done.path} ({done.bytes / 1e6:.1f} MB)"])


def _facts(done: Exported) -> dict[str, Any]:
    """What was written, for a program."""
    return {**dataclasses.asdict(done), "path": str(done.path)}
