"""`camscope explain`: photos or texts in; a table, figures and files out."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from camscope.cli.app import STOPPED, say_error
from camscope.cli.batches import explain_all, table_of
from camscope.cli.closing import close
from camscope.cli.find_sources import find_sources
from camscope.cli.map_options import USUAL, MapOptions
from camscope.cli.model_options import DEMO, ModelOptions
from camscope.cli.out_folder import free_folder, prepared_folder
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.pictures import USUAL_OPACITY, USUAL_SIZE, Kind, OverlaySize, Pictures
from camscope.cli.request import (
    USUAL_BATCH,
    USUAL_FOLDER,
    USUAL_KINDS,
    Request,
    read_inputs,
    read_kinds,
    read_methods,
    read_size,
    read_style,
)
from camscope.cli.run_table import RunTable
from camscope.cli.sources import Sources
from camscope.errors import InputError
from camscope.trust import SavedChoice, read_choice

_NO_INPUT = (
    "Which photo? Give files, folders, globs, or a sample: camscope explain sample:cat. For a model that reads "
    "texts: a text, or a .txt file; for one that takes sounds: a .wav file."
)


def explain(
    *photos: str,
    model: ModelOptions = DEMO,
    maps: MapOptions = USUAL,
    chosen: Annotated[Path | None, Parameter("--as")] = None,
    top: int | None = None,
    out: Path = USUAL_FOLDER,
    save: str = USUAL_KINDS,
    colormap: str | None = None,
    opacity: float = USUAL_OPACITY,
    batch: int = USUAL_BATCH,
    seed: int = 0,
    image_format: Annotated[Kind | None, Parameter("--format")] = None,
    overlay_size: OverlaySize = USUAL_SIZE,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    resume: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> int:
    """Explain photos, texts or sounds: which parts of each drove the model's scores.

    Parameters
    ----------
    photos
        Files, folders, globs, or sample:NAME (cat, coffee, astronaut, camera, rocket …). For a model that reads texts:
        "a text", several, or a .txt file with one text a line. For a model that takes sounds:
        .wav files, folders, globs.
    model
        Which model, and how it is opened; see `camscope.cli.model_options.ModelOptions`.
    maps
        Which maps are made; see `camscope.cli.map_options.MapOptions`.
    chosen
        A file of `camscope choose`: its method and layer are taken, if it was made for this model.
    top
        How many of each photo's top classes to explain, if no target is given. Default: 3.
    out
        Where the files go, in the folders that the photos are in. If it holds files of these photos already, the
        whole run goes into a folder beside it with a number behind its name, such as camscope-out-2.
    save
        What to write, separated by commas: figure, overlay (of a text its coloured words as HTML), channels, npz, json.
    colormap
        Any name of the cmap catalogue, such as inferno (the default), magma, viridis, jet.
    opacity
        Of the heatmap on the photo, 0 to 1.
    batch
        How many photos to run at a time.
    seed
        For methods that draw at random.
    image_format
        Of the pictures: png, jpg, which is quick to write, or webp, which is small. Default: png, which is exact; of
        more than 3 photos jpg.
    overlay_size
        Pixels along the longer side of an overlay, at most; `full` stands for the photo's own.
    overwrite
        Write into --out all the same, over files that have the same name.
    resume
        Go on with the run in --out that was stopped: what its table has is left out, and nothing is done twice.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    saved = None if chosen is None else _read_choice(chosen, maps)
    request = Request(
        save=read_kinds(save),
        inputs=read_inputs(photos, _NO_INPUT),
        pictures=Pictures(read_style(colormap, opacity), image_format, read_size(overlay_size)),
        methods=maps.methods if saved is None else read_methods([saved.method]),
        targets=maps.targets,
        top=top,
        layers=maps.layers if saved is None else (saved.layers or ()),
        model=model,
        out=out,
        batch=batch,
        seed=seed,
        as_json=as_json,
        overwrite=overwrite,
        resume=resume,
    )
    people = console(stderr=as_json)
    with prepared_folder(out), quiet_stdout(as_json):
        with people.status("loading the model …") if people.is_terminal else nullcontext():
            explainer = request.model.open()
        if saved is not None:
            saved.check_model(explainer.about)
        sources = find_sources(explainer, request)
        free = _in_a_free_folder(request, sources, people)
        with prepared_folder(free.out):
            done = explain_all(explainer, sources, free, people)
    for source, reason in done.failed:
        say_error(reason if source in reason else f"{source}: {reason}")
    if as_json:
        print_json(done.document())
    else:
        close(people, done, sources, free, asked=request)
    return STOPPED if done.stopped else 1 if done.failed else 0


def _read_choice(file: Path, maps: MapOptions) -> SavedChoice:
    """The choice in a file, which says both method and layer.

    Raises:
        InputError: if it cannot be read, or either is named besides.
    """
    for option, named in (("--method", maps.method), ("--layer", maps.layer)):
        if named:
            raise InputError(
                f"--as {file} and {option} {','.join(named)}: the file says method and layer. Give one of both."
            )
    return read_choice(file)


def _in_a_free_folder(request: Request, sources: Sources, people: Console) -> Request:
    """The request with the folder that nothing is written over in, if that is not the one that was asked for."""
    if request.overwrite or request.resume:
        return request
    table = table_of(request.out, sources)
    stems = [*sources.stems.values(), *([] if table is None else [Path(table.stem)])]
    free = free_folder(request.out, stems, sources.names)
    if free == request.out:
        return request
    resume = table is not None and RunTable(table, request.told()).could_go_on(sources.names)
    people.print(
        f"{request.out} has files of these {sources.noun}s already; those of this run are in {free} "
        f"({'--resume: go on with that run; ' if resume else ''}--overwrite: in the same folder).",
        markup=False,
        soft_wrap=True,
    )
    return replace(request, out=free)
