"""`camscope concepts`: what a layer sees in some photos, as a few concepts shared by all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camscope.cli.files import file_names, prepare_folder
from camscope.cli.output import console, print_json
from camscope.engine.explainer import Explainer
from camscope.errors import InputError
from camscope.images import find_photos, read_photo


def concepts(
    *photos: str,
    model: str = "demo",
    count: int = 4,
    layer: str | None = None,
    out: Path = Path("camscope-out"),
    colormap: str | None = None,
    weights: str | None = None,
    device: str | None = None,
    seed: int = 0,
    trust_pickle: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Find the concepts that a layer's features in some photos are made of, and where each photo shows them.

    Parameters
    ----------
    photos
        Files, folders, globs, or sample:NAME. All are factorised together: the more show the same things, the
        clearer the concepts; a few dozen at most.
    model
        demo, timm:NAME, torchvision:NAME, hf:NAME-OR-FOLDER or FILE.py:FACTORY.
    count
        How many concepts.
    layer
        `camscope layers` lists them. Default: chosen automatically.
    out
        Where the figures and `concepts.npz` go.
    colormap
        Any name of the cmap catalogue.
    weights
        A weights file, or `random`.
    device
        cpu, cuda, cuda:1, mps …
    seed
        Of the factorisation's random start.
    trust_pickle
        Read a checkpoint that can run code. Only for files you would run as a program.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    if not photos:
        raise InputError("Which photos? Give files, folders, globs, or samples: camscope concepts sample:cat")
    found = find_photos(photos)
    prepare_folder(out)
    explainer = Explainer(model, weights=weights, trust_pickle=trust_pickle, device=device)
    result = explainer.concepts([read_photo(source) for source in found], count=count, layer=layer, seed=seed)

    from camscope import render

    style: dict[str, Any] = {} if colormap is None else {"colormap": colormap}
    written = []
    for i, (_, name) in enumerate(file_names(found).items()):
        path = out / f"{name}-concepts.png"
        render.save(result.figure(i, **style), path)
        written.append(str(path))
    written.append(str(result.explanation.save(out / "concepts.npz")))
    names = [target.name for target in result.explanation.targets[0]]
    if as_json:
        print_json(
            {
                "concepts": [
                    {
                        "name": name,
                        "classes": [
                            {"index": index, "name": of, "score": score}
                            for index, of, score in result.classes(k)
                        ],
                        "strengths": [float(s) for s in result.explanation.scores[:, k]],
                    }
                    for k, name in enumerate(names)
                ],
                "photos": found,
                "notes": list(result.explanation.notes),
                "files": written,
            }
        )
        return
    people = console()
    table = Table(box=None, pad_edge=False)
    table.add_column("concept", header_style="dim")
    table.add_column("speaks for", header_style="dim")
    table.add_column("strongest in", header_style="dim")
    for k, name in enumerate(names):
        speaks = ", ".join(of.partition(",")[0] for _, of, _ in result.classes(k))
        strongest = found[int(result.explanation.scores[:, k].argmax())]
        table.add_row(escape(name.partition(":")[0]), escape(speaks or "–"), escape(strongest))
    people.print(table)
    for note in result.explanation.notes:
        people.print(f"note: {escape(note)}", style="yellow")
    for file in written:
        people.print(f"wrote [bold]{escape(file)}[/]", soft_wrap=True)
