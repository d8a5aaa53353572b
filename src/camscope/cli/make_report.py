"""`camscope report`: photos, sounds, texts or a run in; one HTML file out that shows the maps offline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from camscope.app import View, check_report, write_report
from camscope.app.run_report import MOST, add_run, side_of
from camscope.app.view import GONE, usual_title
from camscope.cli.app import say_error
from camscope.cli.find_sources import find_sources
from camscope.cli.map_options import USUAL, MapOptions
from camscope.cli.model_options import DEMO, ModelOptions
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.pictures import Pictures
from camscope.cli.reading_ahead import explained_in_batches
from camscope.cli.request import USUAL_BATCH, Request, read_inputs
from camscope.cli.showing import show_files, show_notes
from camscope.cli.sources import Sources
from camscope.engine.explainer import Explainer
from camscope.engine.progress_bar import bar, in_steps
from camscope.errors import InputError, keyword
from camscope.runs import RunRows
from camscope.runs import open as open_run
from camscope.runs.run_plan import PLAN

_NO_INPUT = (
    "Which photos? Give files, folders, globs, or samples: camscope report sample:cat sample:coffee. For a model that "
    "reads texts: a text, or a .txt file; for one that takes sounds: a .wav file. Or the folder of a run."
)


def report(
    *photos: str,
    model: ModelOptions = DEMO,
    out: Path = Path("report.html"),
    maps: MapOptions = USUAL,
    top: int | None = None,
    title: str | None = None,
    batch: int = USUAL_BATCH,
    seed: int = 0,
    where: str | None = None,
    sort: str | None = None,
    descending: Annotated[bool, Parameter(negative="")] = False,
    limit: int | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> int:
    """Make a report of where a model looks: one HTML file that can be mailed, and opens offline in any browser.

    Parameters
    ----------
    photos
        Files, folders, globs, or sample:NAME; a broken one is named, and the rest goes on. For a model that reads
        texts: "a text", several, or a .txt file with one text a line. For a model that takes sounds: .wav files. Or
        the folder of a run: its maps are taken as they are stored.
    model
        Which model, and how it is opened; see `camscope.cli.model_options.ModelOptions`.
    out
        The file. A report of more than about 10 MB becomes several that lead to one another.
    maps
        Which maps are made; see `camscope.cli.map_options.MapOptions`.
    top
        How many of each photo's top classes to explain, if no target is given. Default: 3.
    title
        Of the report.
    batch
        How many photos or texts to run at a time.
    seed
        For methods that draw at random.
    where
        Of a run: a condition in SQL, such as "label != top1".
    sort
        Of a run: a column to sort by, such as ring_share.
    descending
        Of a run: the largest first.
    limit
        Of a run: how many photos. Default: 200.
    overwrite
        Write over a report that is there.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    people = console(stderr=as_json)
    if any(is_run(one) for one in photos):
        _check_file(out, overwrite=overwrite)
        given = {**maps.changed(), "top": top, **model.changed()}
        _check_run(photos, [name for name, value in given.items() if value is not None])
        rows = open_run(photos[0])
        rows = rows if where is None else rows.where(where)
        rows = rows if sort is None else rows.sort(sort, descending=descending)
        return _of_run(rows, out, title, MOST if limit is None else limit, people, as_json=as_json)
    for name, value in (("where", where), ("sort", sort), ("limit", limit)):
        if value is not None:
            raise InputError(f"{keyword(name)} chooses rows of a run, and no run was given.")
    request = Request(
        save=(),
        inputs=read_inputs(photos, _NO_INPUT),
        pictures=Pictures({}, None, "full"),
        methods=maps.methods,
        targets=maps.targets,
        top=top,
        layers=maps.layers,
        model=model,
        out=out,
        batch=batch,
        seed=seed,
        as_json=as_json,
    )
    _check_file(out, overwrite=overwrite)
    failed: list[tuple[str, str]] = []
    with quiet_stdout(as_json):
        explainer = request.model.open()
        sources = find_sources(explainer, request)
        called = title or usual_title(model.name, of_texts=explainer.reads_texts)
        view = View(called, model.name, side=side_of(len(sources.names)))
        options = request.explainer_options(instances=explainer.detects)
        size = 1 if explainer.keeps_sizes else request.batch
        with (
            bar("explaining", shown=len(sources.names) > 2) as told,
            explained_in_batches(explainer, sources, sources.names, size, options) as batches,
        ):
            advance = in_steps(told, len(sources.names))
            for outcomes in batches:
                for name, outcome in outcomes:
                    if isinstance(outcome, InputError):
                        failed.append((name, str(outcome)))
                    else:
                        view.add(outcome, **_told(sources, explainer, name))
                advance(len(outcomes))
        for name, reason in failed:
            say_error(reason if name in reason else f"{name}: {reason}")
        written = [str(path) for path in write_report(view, out)] if view.entries else []
    if as_json:
        errors = [{"source": name, "error": reason} for name, reason in failed]
        print_json({f"{sources.noun}s": len(view.entries), "failed": errors, "files": written})
    else:
        show_notes(people, view.notes)
        _show_written(people, written)
    return 1 if failed else 0


def _told(sources: Sources, explainer: Explainer, name: str) -> dict[str, Any]:
    """What a report is told of an input besides its explanation: of a text how it was written, and where it stood."""
    if not explainer.reads_texts:
        return {}
    written = sources.read(explainer, name)
    return {"written": [written], "names": None if name == written else [name]}


def _of_run(
    rows: RunRows, out: Path, title: str | None, limit: int, people: Console, *, as_json: bool
) -> int:
    """The report of a run's rows."""
    if limit < 1:
        raise InputError(f"limit={limit}: a report has at least one photo.")
    plan = rows.opened.plan
    spec = plan.asked.model
    images = len(set(rows.to_arrow(columns=["id"])["id"].to_pylist()))
    if not images:
        raise InputError(f"No row of the run '{rows.path}' is so: there is nothing to report on.")
    shown = min(images, limit)
    name = (rows.path.resolve() if isinstance(rows.path, Path) else rows.path).name
    view = View(title or f"{name}: where {spec} looks", spec, side=side_of(shown))
    with quiet_stdout(as_json), bar("reading", shown=shown > 2) as told:
        left_out = add_run(view, rows, most=limit, told=in_steps(told, shown))
        for reason in left_out:
            say_error(reason)
        written = [str(path) for path in write_report(view, out)]
    gone = sum(any(note.startswith(GONE) for note in photo["notes"]) for photo in view.photos)
    if as_json:
        facts = {"photos": len(view.photos), "of": images, "left_out": left_out, "without_photo": gone}
        print_json({**facts, "files": written})
        return 0
    if shown < images:
        people.print(
            f"The first {shown} of {images:,} images are in it; --where, --sort and --limit choose others.",
            soft_wrap=True,
        )
    if gone:
        people.print(
            f"{gone} of their photos are not there any more: their maps are shown without them.",
            soft_wrap=True,
        )
    _show_written(people, written)
    return 0


def _show_written(people: Console, written: list[str]) -> None:
    if len(written) > 1:
        people.print(
            f"More than fits into one file of about 10 MB, so it has {len(written)} that lead to one another.",
            soft_wrap=True,
        )
    show_files(people, written)


def is_run(path: str) -> bool:
    """Whether a path is the folder of a run; a text may be too long for a path."""
    with suppress(OSError, ValueError):
        return (Path(path) / PLAN).is_file()
    return False


def _check_run(photos: Sequence[str], said: Sequence[str]) -> None:
    """Refuse what does not go together with a run."""
    if len(photos) > 1:
        raise InputError(f"A report is of photos, or of one run, and {len(photos)} were given.")
    if said:
        names = ", ".join(keyword(name) for name in said)
        raise InputError(
            f"The maps of the run '{photos[0]}' are made already, so {names} cannot change them. Leave that out; or "
            "explain the photos themselves: camscope report PHOTO..."
        )


def _check_file(out: Path, *, overwrite: bool) -> None:
    """Refuse what no report can be written to, before any work is done."""
    check_report(out)
    if out.exists() and not overwrite:
        raise InputError(f"{out} is there already. Choose another --out, or write over it by --overwrite.")
