"""`camscope report`: photos in; one HTML file out that shows their maps offline, in any browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from camscope.app import View, check_report, write_report
from camscope.cli.app import say_error
from camscope.cli.batches import batches_of
from camscope.cli.model_options import ModelOptions
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.photo_sources import Photos
from camscope.cli.pictures import Pictures
from camscope.cli.request import USUAL_BATCH, Request, read_inputs, read_methods, read_words
from camscope.cli.showing import show_files, show_notes
from camscope.engine.progress_bar import bar, in_steps
from camscope.errors import InputError

_NO_INPUT = "Which photos? Give files, folders, globs, or samples: camscope report sample:cat sample:coffee"
_FEW = 20
"""So many photos are shown larger."""


def report(
    *photos: str,
    model: str = "demo",
    out: Path = Path("report.html"),
    method: Annotated[list[str] | None, Parameter(negative="")] = None,
    target: Annotated[list[str] | None, Parameter(negative="", allow_leading_hyphen=True)] = None,
    layer: Annotated[list[str] | None, Parameter(negative="")] = None,
    top: int | None = None,
    title: str | None = None,
    weights: str | None = None,
    classes: Path | None = None,
    preprocessing: Annotated[str | None, Parameter(negative="", allow_leading_hyphen=True)] = None,
    device: str | None = None,
    batch: int = USUAL_BATCH,
    seed: int = 0,
    trust_pickle: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> int:
    """Make a report of where a model looks: one HTML file that can be mailed, and opens offline in any browser.

    Parameters
    ----------
    photos
        Files, folders, globs, or sample:NAME. A broken one is named, and the rest goes on.
    model
        demo, timm:NAME, torchvision:NAME, hf:NAME-OR-FOLDER, keras:NAME-OR-FILE, onnx:FILE.onnx or FILE.py:FACTORY.
    out
        The file. A report of more than about 10 MB becomes several that lead to one another.
    method
        One, or several separated by commas, to be compared in the report. Default: gradcam.
    target
        What to explain; see `camscope explain --help`. Default: the --top classes of each photo.
    layer
        One, or several separated by commas. Default: chosen automatically.
    top
        How many of each photo's top classes to explain, if no target is given. Default: 3.
    title
        Of the report.
    weights
        A weights file, or `random`.
    classes
        A file of class names, if the model does not know its own.
    preprocessing
        How photos are prepared, where the model does not say it; see `camscope explain --help`.
    device
        cpu, cuda, cuda:1, mps …
    batch
        How many photos to run at a time.
    seed
        For methods that draw at random.
    trust_pickle
        Read a file that can run code. Only for files you would run as a program.
    overwrite
        Write over a report that is there.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    request = Request(
        save=(),
        inputs=read_inputs(photos, _NO_INPUT),
        pictures=Pictures({}, ".png", "full"),
        methods=read_methods(method),
        targets=tuple(target or ()),
        top=top,
        layers=tuple(read_words(layer)),
        model=ModelOptions(model, weights, trust_pickle, device, None, classes, preprocessing),
        out=out,
        batch=batch,
        seed=seed,
        as_json=as_json,
    )
    _check_file(out, overwrite=overwrite)
    people = console(stderr=as_json)
    failed: list[tuple[str, str]] = []
    with quiet_stdout(as_json):
        explainer = request.model.open()
        if explainer.reads_texts or explainer.hears_sounds:
            raise InputError(
                "A report shows photos, and this model reads something else: camscope explain shows it."
            )
        sources = Photos(request.inputs, out)
        view = View(title or f"Where {model} looks", model, side=640 if len(sources.names) > _FEW else 1024)
        options = request.explainer_options(instances=explainer.detects)
        size = 1 if explainer.keeps_sizes else request.batch
        with bar("explaining", shown=len(sources.names) > 2) as told:
            advance = in_steps(told, len(sources.names))
            for some in batches_of(sources.names, size):
                for name, outcome in sources.explained(explainer, some, options):
                    if isinstance(outcome, InputError):
                        failed.append((name, str(outcome)))
                    else:
                        view.add(outcome)
                advance(len(some))
        for name, reason in failed:
            say_error(reason if name in reason else f"{name}: {reason}")
        written = [str(path) for path in write_report(view, out)] if view.photos else []
    if as_json:
        errors = [{"source": name, "error": reason} for name, reason in failed]
        print_json({"photos": len(view.photos), "failed": errors, "files": written})
    else:
        show_notes(people, view.notes)
        show_files(people, written)
    return 1 if failed else 0


def _check_file(out: Path, *, overwrite: bool) -> None:
    """Refuse what no report can be written to, before any work is done."""
    check_report(out)
    if out.exists() and not overwrite:
        raise InputError(f"{out} is there already. Choose another --out, or write over it by --overwrite.")
