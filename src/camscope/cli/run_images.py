"""`camscope run`: explains as many images as there are into a store that cannot be lost; `camscope runs merge`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from camscope.cli.app import STOPPED, app
from camscope.cli.map_options import USUAL, MapOptions
from camscope.cli.model_options import DEMO, ModelOptions
from camscope.cli.output import console, print_json, quiet_stdout
from camscope.cli.request import read_inputs
from camscope.cli.showing import show_notes
from camscope.errors import InputError, nearest
from camscope.runs import Done, merge, run
from camscope.runs import open as open_run
from camscope.runs.engines import LOCAL
from camscope.runs.running import SHARD_SIZE, TOP
from camscope.runs.sources.finding_inputs import STDIN

_NO_DATA = (
    "Which images? Give a folder, a glob, a table (.csv, .parquet), a list (.txt, or - for standard input), .tar files "
    "of WebDataset's, or a data set's folder: camscope run photos/ --model timm:resnet50 --out run."
)
_REASONS = 5
_OPTIMISED: dict[str, bool | str | None] = {"auto": None, "yes": True, "no": False, "bfloat16": "bfloat16"}


def run_images(
    *data: Annotated[str, Parameter(allow_leading_hyphen=True)],
    out: str | None = None,
    model: ModelOptions = DEMO,
    maps: MapOptions = USUAL,
    top: int = TOP,
    column: str | None = None,
    label: str | None = None,
    path: str | None = None,
    images: str | None = None,
    batch: int | None = None,
    optimised: Annotated[Literal["auto", "yes", "no", "bfloat16"], Parameter(negative="")] = "auto",
    shard_size: int = SHARD_SIZE,
    workers: int | None = None,
    shard: str | None = None,
    seed: int = 0,
    trust: Annotated[bool, Parameter(negative="")] = False,
    into: str | None = None,
    restart: Annotated[bool, Parameter(negative="")] = False,
    retry_failed: Annotated[bool, Parameter(negative="")] = False,
    engine: str = LOCAL,
    address: str | None = None,
    actors: int | None = None,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> int:
    """Explain a folder, a table or a bucket of images into a store of Parquet files that cannot be lost.

    Stop it in any way and say the same again: it goes on, and what was finished is not done twice.
    `camscope browse` looks at what is there, `camscope.runs.open` in Python.

    Parameters
    ----------
    data
        Folders and globs; a table (.csv, .tsv, .parquet) with a column of paths, or of ids with --path; a list (.txt),
        a path a line with its label behind a tab, or - for one on standard input; .tar files of WebDataset's
        (name-{000..127}.tar); a data set's folder. Paths or URLs (s3://, gs://, hf://, https://).
    out
        The folder of the run; or its URL, s3://bucket/run.
    model
        Which model, and how it is opened; see `camscope.cli.model_options.ModelOptions`.
    maps
        Which maps are made; see `camscope.cli.map_options.MapOptions`.
    top
        How many of the top classes each row has.
    column
        Of a table or data set: the column of paths or images.
    label
        Likewise the column of labels.
    path
        Of a table: the path of an image, made of columns: {ID}.jpg.
    images
        Of a table: the folder or URL that its paths are relative to.
    batch
        How many images run at a time. Default: what fits the memory, at most 16 on a processor and 256 on a GPU, or
        what the run was begun with.
    optimised
        Whether an optimised copy of a PyTorch model is explained on, and photos are read the quick way (what the crop
        cuts off is not resized, large JPEG files are decoded smaller); bfloat16 for a copy in half precision. Default:
        for runs of 128 images or more, if maps and scores of the first images stay nearly the same; how near is said.
    shard_size
        How many images make a shard, which is one file, and what a kill costs at most.
    workers
        How many processes read images. Default: one for each core.
    shard
        2/8 does every eighth shard from the second on, into a folder of its own, for Slurm arrays and the like;
        `camscope runs merge` joins them.
    seed
        For methods that draw at random.
    trust
        Measure how much to trust each map, by two further forwards of each: `browse --sort trust` shows the doubtful
        ones first.
    into
        Another folder, where the plan or the data have changed since the run in --out was begun: that stays as it is.
    restart
        Take away the run that is in --out, and begin anew.
    retry_failed
        Make those shards anew that have images which could not be explained: the network was down, say.
    engine
        local, or ray: the same by workers of a Ray cluster. Paths must be those of a file system that all nodes share,
        or URLs of buckets.
    address
        Of the cluster: HOST:PORT of its head. Default: the cluster that this machine is in, or else a new one on it.
    actors
        How many workers of the cluster. Default: one for each GPU, or for each four cores where there is none.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    given = read_inputs(data, _NO_DATA)
    _refuse_options(given)
    if out is None:
        raise InputError(
            f"Where to? Say a folder for the run: {shlex.join(['camscope', 'run', *given])} --out RUN."
        )
    people = console(stderr=as_json)
    with quiet_stdout(as_json):
        done = run(
            list(given),
            model=model.name,
            out=out,
            methods=[one.name for one in maps.methods] or None,
            layers=maps.layers or None,
            targets=list(maps.targets) or None,
            top=top,
            column=column,
            labels=label,
            path=path,
            images=images,
            batch=batch,
            optimised=_OPTIMISED[optimised],
            shard_size=shard_size,
            workers=workers,
            share=shard,
            seed=seed,
            trust=trust,
            into=into,
            restart=restart,
            retry_failed=retry_failed,
            engine=engine,
            address=address,
            actors=actors,
            **model.keywords(),
        )
    facts = _facts(done)
    if as_json:
        print_json(facts)
    else:
        _close(people, done, facts)
    return 0 if done.complete else STOPPED


def _refuse_options(given: Sequence[str]) -> None:
    """Refuse what is no option but looks like one: only `-` by itself is data."""
    for word in given:
        if word.startswith("-") and word != STDIN:
            options = [name for one in app["run"].assemble_argument_collection() for name in one.names]
            raise InputError(f"camscope run has no option {word}.{nearest(word, options)}")


def merge_runs(*runs: str, out: str | None = None) -> None:
    """Join the shares of a run, made with --shard, into one run.

    Parameters
    ----------
    runs
        The folders of all shares, or one folder that they are in.
    out
        The folder of the whole run.
    """
    if out is None:
        given = shlex.join(["camscope", "runs", "merge", *runs])
        raise InputError(f"Where to? Say a folder for the whole run: {given} --out RUN.")
    path = merge(runs, out)
    rows = open_run(path)
    people = console()
    people.print(f"{len(rows):,} rows of {rows.opened.plan.count:,} images are in {path}.", markup=False)
    people.print(f"  {shlex.join(['camscope', 'browse', str(path)])}   # looks at them", markup=False)


def _facts(done: Done) -> dict[str, Any]:
    """What was done, for a program."""
    facts: dict[str, Any] = {
        "run": str(done.path),
        "images": done.progress.total,
        "done": done.progress.done,
        "before": done.progress.done - done.progress.now,
        "failed": 0,
        "reasons": {},
        "complete": done.complete,
        "images_per_second": done.progress.rate,
        "torn": list(done.torn),
        "notes": [done.said] if done.said else [],
        "changed": list(done.changed),
        "lost": list(done.progress.lost),
    }
    if done.progress.done:
        failures = open_run(done.path).failures
        facts["failed"] = len(failures)
        first = failures.limit(_REASONS).to_arrow().select(["source", "reason"]).to_pylist()
        facts["reasons"] = {row["source"]: row["reason"] for row in first}
    return facts


def _close(people: Console, done: Done, facts: dict[str, Any]) -> None:
    """Say what was done, what failed, and how to go on."""
    progress = done.progress
    before = f", {facts['before']:,} before" if facts["before"] else ""
    rate = f", {progress.rate:.1f} a second" if progress.now else ""
    people.print(
        f"{progress.now:,} of {progress.total:,} images done{before}{rate}; the run is in {done.path}.",
        markup=False,
        soft_wrap=True,
    )
    if done.said:
        people.print(done.said, markup=False, soft_wrap=True)
    if done.changed:
        show_notes(people, [f"a new run, since these changed: {'; '.join(done.changed)}"])
    if done.torn:
        show_notes(people, [f"{len(done.torn)} torn shard(s) of a crash were made anew"])
    if progress.lost:
        show_notes(people, [f"{len(progress.lost)} worker(s) were lost and replaced: {progress.lost[-1]}"])
    if facts["failed"]:
        people.print(f"{facts['failed']:,} could not be explained:", style="yellow")
        for reason in facts["reasons"].values():
            people.print(f"  {reason}", markup=False, soft_wrap=True)
    if not done.complete:
        people.print("Stopped after a whole shard. Go on:", style="bold")
        people.print(f"  {shlex.join(['camscope', *sys.argv[1:]])}", markup=False, soft_wrap=True)
    elif progress.total:
        people.print(f"  {shlex.join(['camscope', 'browse', str(done.path)])}   # looks at it", markup=False)
