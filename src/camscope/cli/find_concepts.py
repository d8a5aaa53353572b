"""`camscope concepts`: what a layer sees in some photos, as a few concepts shared by all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camscope import render
from camscope.cli.file_names import stems_of_photos
from camscope.cli.model_options import DEMO, ModelOptions
from camscope.cli.out_folder import free_folder, prepared_folder
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.request import read_inputs, read_style
from camscope.cli.showing import plain_table, show_files, show_notes
from camscope.images import find_photos, read_photo
from camscope.results import Concepts

_NO_INPUT = "Which photos? Give files, folders, globs, or samples: camscope concepts sample:cat"
_ARRAYS = "concepts.npz"


def concepts(
    *photos: str,
    model: ModelOptions = DEMO,
    count: int = 4,
    layer: str | None = None,
    out: Path = Path("camscope-out"),
    colormap: str | None = None,
    seed: int = 0,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Find the concepts that a layer's features in some photos are made of, and where each photo shows them.

    Parameters
    ----------
    photos
        Files, folders, globs, or sample:NAME. All are factorised together: the more show the same things, the
        clearer the concepts; a few dozen at most.
    model
        Which model, and how it is opened; see `camscope.cli.model_options.ModelOptions`.
    count
        How many concepts.
    layer
        `camscope layers` lists them. Default: chosen automatically.
    out
        Where the figures and `concepts.npz` go. If it holds such files already, they go into a folder beside it with
        a number behind its name.
    colormap
        Any name of the cmap catalogue.
    seed
        Of the factorisation's random start.
    overwrite
        Write into --out all the same, over files that have the same name.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    given = read_inputs(photos, _NO_INPUT)
    found = find_photos(given)
    style = read_style(colormap)
    stems = stems_of_photos(given, found)
    out = out if overwrite else free_folder(out, [*stems.values(), Path(_ARRAYS).with_suffix("")], found)
    with prepared_folder(out):
        with quiet_stdout(as_json):
            explainer = model.open()
            result = explainer.concepts(
                [read_photo(name) for name in found], count=count, layer=layer, seed=seed
            )
        written = _write(result, stems.values(), out, style)
    if as_json:
        print_json(_facts(result, found, written))
        return
    people = console()
    people.print(_table(result, found))
    show_notes(people, result.explanation.notes)
    show_files(people, written)


def _write(result: Concepts, stems: Iterable[Path], out: Path, style: Mapping[str, Any]) -> list[str]:
    """A figure of each photo, and one file of all arrays; returns the paths."""
    written = []
    for i, stem in enumerate(stems):
        path = out / stem.with_name(f"{stem.name}-concepts.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        render.save(result.figure(i, **style), path)
        written.append(str(path))
    return [*written, str(result.explanation.save(out / _ARRAYS))]


def _facts(result: Concepts, found: Sequence[str], written: Sequence[str]) -> dict[str, Any]:
    """What was found, for a program."""
    e = result.explanation
    return {
        "concepts": [
            {
                "name": target.name,
                "classes": [
                    {"index": index, "name": name, "score": score} for index, name, score in result.classes(k)
                ],
                "strengths": [float(strength) for strength in e.scores[:, k]],
            }
            for k, target in enumerate(e.targets[0])
        ],
        "photos": list(found),
        "notes": list(e.notes),
        "files": list(written),
    }


def _table(result: Concepts, found: Sequence[str]) -> Table:
    """The same for people: each concept, the classes it speaks for, and the photo that shows most of it."""
    e = result.explanation
    table = plain_table("concept", "speaks for", "strongest in")
    for k, target in enumerate(e.targets[0]):
        speaks = ", ".join(e.short_names.get(name, name) for _, name, _ in result.classes(k))
        strongest = found[int(e.scores[:, k].argmax())]
        table.add_row(escape(target.name.partition(":")[0]), escape(speaks or "–"), escape(strongest))
    return table
