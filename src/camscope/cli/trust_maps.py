"""`camscope trust`: whether a map can be trusted, in a sentence, with a table and a figure of the evidence."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from camscope.cli.app import STOPPED, say_error
from camscope.cli.judging_run import (
    ENDING,
    Judgings,
    Wanted,
    judge_all,
    read_checks,
    read_probes,
    sources_of,
)
from camscope.cli.map_options import USUAL, MapOptions
from camscope.cli.model_options import DEMO, ModelOptions
from camscope.cli.out_folder import free_folder, prepared_folder
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.photo_sources import Photos, in_folders
from camscope.cli.request import USUAL_FOLDER, read_inputs, read_style, read_words
from camscope.cli.showing import FEW
from camscope.cli.showing_verdicts import show_many
from camscope.cli.sources import Sources
from camscope.trust.sentences import of_mistakes, told_of_images

_NO_INPUT = "Which photo? Give files, folders, globs, or a sample: camscope trust sample:cat"


def trust(
    *photos: str,
    model: ModelOptions = DEMO,
    maps: MapOptions = USUAL,
    labels: Literal["folders", "none"] = "folders",
    checks: Annotated[list[str] | None, Parameter(negative="")] = None,
    probes: int | None = None,
    out: Path = USUAL_FOLDER,
    colormap: str | None = None,
    opacity: float | None = None,
    seed: int = 0,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> int:
    """Say whether a map can be trusted: does the score fall where the map says that its evidence is?

    Parts of each photo are removed at random, and the model is asked what it says then. A map is believed if what it
    puts on the removed parts goes with what the score loses: more than the same map at other places, more than the
    centre of the photo, and more than the layer's mean activation.

    Parameters
    ----------
    photos
        Files, folders, globs, or sample:NAME. For a model that takes sounds: .wav files, folders, globs. For one that
        reads texts: "a text", several, or a .txt file with one text a line.
    model
        Which model, and how it is opened; see `camscope.cli.model_options.ModelOptions`.
    maps
        Which maps are made; see `camscope.cli.map_options.MapOptions`.
    labels
        folders: the folder that a photo lies in, inside those that are given, names its class; where the model says
        another one, the verdict says so. none: nobody knows.
    checks
        The tests, separated by commas: fidelity (the verdict is made of it), class (does the map follow the class?),
        and others that cost more: weights (does it follow the weights?), stability (does it stay where the photo
        changes a little?), srg (symmetric relevance gain, as the literature has it); or all. Default: fidelity,class.
    probes
        How often parts of each photo are removed, for each grid. Default: 128, or 256 where maps are finer than 7 × 7.
    out
        Where a figure and a file of numbers (.npz) of each photo go. If it holds such files of these photos already,
        they go into a folder beside it with a number behind its name.
    colormap
        Any name of the cmap catalogue.
    opacity
        Of the heatmap on the photo, 0 to 1.
    seed
        Of the parts that are removed, of chance, and of methods that draw at random.
    overwrite
        Write into --out all the same, over files that have the same name.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    given = read_inputs(photos, _NO_INPUT)
    wanted = Wanted(
        methods=maps.methods,
        targets=maps.targets,
        layers=maps.layers,
        checks=read_checks(read_words(checks)),
        probes=read_probes(probes),
        seed=seed,
        style=read_style(colormap, opacity),
    )
    people = console(stderr=as_json)
    with prepared_folder(out), quiet_stdout(as_json):
        with people.status("loading the model …") if people.is_terminal else nullcontext():
            explainer = model.open()
        sources = sources_of(explainer, given, out)
        of_classes = isinstance(sources, Photos) and in_folders(sources.names, given)
        wanted = replace(wanted, folders=labels == "folders" and of_classes)
        folder = out if overwrite else _free(out, sources)
        if folder != out:
            people.print(
                f"{out} has such files of these {sources.noun}s already; those of this run are in {folder}.",
                markup=False,
                soft_wrap=True,
            )
        with prepared_folder(folder):
            done = judge_all(explainer, sources, wanted, folder, None if as_json else people)
    for source, reason in done.failed:
        say_error(reason if source in reason else f"{source}: {reason}")
    if as_json:
        print_json(done.document())
    else:
        _close(people, done, folder)
    return STOPPED if done.stopped else 1 if done.failed else 0


def _free(out: Path, sources: Sources) -> Path:
    """The folder, or one beside it, that holds no files of an earlier run on these photos."""
    stems = [stem.with_name(stem.name + ENDING) for stem in sources.stems.values()]
    return free_folder(out, stems, sources.names)


def _close(people: Console, done: Judgings, folder: Path) -> None:
    """Of several photos, how often each map says where; of many a line for each map before."""
    judged = {name for name, _ in done.rows}
    if len(done.names) > FEW and done.rows:
        show_many(people, done.rows)
    if len(judged) > 1:
        people.print(told_of_images([row for _, row in done.rows], done.noun, len(judged)), markup=False)
        if wrong := of_mistakes(len({name for name, row in done.rows if row.mistake}), done.noun):
            people.print(wrong, markup=False)
    if len(done.names) > FEW or done.failed or done.stopped:
        count = f"{len(judged)} of {len(done.names)} {done.noun}s judged"
        people.print(
            f"{count}; the files are in {folder}." if judged else f"{count}.", markup=False, soft_wrap=True
        )
    if done.stopped:
        people.print("Stopped.", style="bold")
