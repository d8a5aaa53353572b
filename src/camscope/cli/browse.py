"""`camscope browse`: a table of a run's rows in the terminal, and contact sheets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from PIL import Image
from rich.console import Console
from rich.markup import escape

from camscope import render
from camscope.arrays import resize, scaled
from camscope.cli.output import console, print_json
from camscope.cli.request import read_style
from camscope.cli.showing import percent, plain_table, show_files
from camscope.errors import InputError, check_folder
from camscope.runs import MeanMap, RunRows
from camscope.runs import open as open_run
from camscope.targets import short_names

_PICTURES = (".png", ".webp", ".jpg")
_SIDE = 224
_SHOWN = ("label", "top1", "target", "method", "layer", "status")


def browse(
    run: str | None = None,
    *,
    where: str | None = None,
    sort: str | None = None,
    descending: Annotated[bool, Parameter(negative="")] = False,
    limit: int = 20,
    offset: int = 0,
    means: str | None = None,
    unusual: str | None = None,
    save: Path | None = None,
    colormap: str | None = None,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Look at a run: a table in the terminal, a contact sheet of heatmaps, mean maps of classes, unusual images.

    Parameters
    ----------
    run
        The folder of a run; it may still be running.
    where
        A condition in SQL: "label != top1", "top1_probability < 0.5 and ring_share > 0.6", "status = 'failed'".
    sort
        A column: ring_share, area, entropy, top1_probability, similarity …; trust, of a run with --trust.
    descending
        The largest first.
    limit
        How many rows.
    offset
        How many rows are left out before.
    means
        Mean maps of the classes in this column, instead: label, top1 or target.
    unusual
        Of each class in this column the images whose maps are least like its mean map: label, top1 or target.
    save
        Where to write: a contact sheet (.png, .webp, .jpg), or the rows (.csv).
    colormap
        Any name of the cmap catalogue.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    if run is None:
        raise InputError(
            "Which run? Give its folder, which camscope run --out has made: camscope browse RUN."
        )
    _check_words(means, unusual, sort, limit, offset, descending=descending)
    _check_save(save, means)
    style = read_style(colormap)
    every = open_run(run)
    rows = every.where(where) if where else every
    people = console(stderr=as_json)
    if means is not None:
        _show_means(people, rows.mean_maps(by=means), save, style, as_json=as_json)
        return
    if unusual is not None:
        rows = rows.unusual(by=unusual)
    if sort is not None:
        rows = rows.sort(sort, descending=descending)
    count = len(rows)
    shown = rows.limit(limit, offset=offset)
    table = shown.to_arrow().to_pylist()
    if as_json:
        print_json({"run": str(run), "complete": rows.is_complete, "rows": count, "shown": table})
    else:
        beside = sort or ("similarity" if unusual is not None else None)
        _show(people, every, table, count, limit, offset, beside)
    if save is not None:
        _save(shown, save, style)
        show_files(people, [str(save)])


def _check_words(
    means: str | None, unusual: str | None, sort: str | None, limit: int, offset: int, *, descending: bool
) -> None:
    """Refuse what would not be heeded."""
    if means is not None and unusual is not None:
        raise InputError("--means shows classes, and --unusual images: say one of both.")
    if means is not None and sort is not None:
        raise InputError(f"--means shows a map for each class, and --sort {sort} orders rows: leave it out.")
    if descending and sort is None:
        raise InputError("--descending says how --sort orders. By which column? --sort ring_share, say.")
    for option, number in (("--limit", limit), ("--offset", offset)):
        if number < 0:
            raise InputError(f"{option} {number}: expected a number of rows, 0 or more.")


def _check_save(save: Path | None, means: str | None) -> None:
    """Refuse a file that cannot be written, before anything is read."""
    if save is None:
        return
    wanted = _PICTURES if means is not None else (*_PICTURES, ".csv")
    if save.suffix.lower() not in wanted:
        raise InputError(f"--save {save}: expected a file that ends in {', '.join(wanted)}.")
    check_folder(save)


def _show(
    people: Console,
    every: RunRows,
    table: list[dict[str, Any]],
    count: int,
    limit: int,
    offset: int,
    sort: str | None,
) -> None:
    plan = every.opened.plan
    part = "" if every.is_complete else f" ({len(every.opened.files)} of {plan.shards} shards are there)"
    people.print(
        f"{plan.asked.model}, {plan.count:,} images{part}; {count:,} rows", markup=False, soft_wrap=True
    )
    if not table:
        rest = f"--limit {limit} and --offset {offset} leave none of them." if count else "No row is so."
        people.print(rest)
        return
    columns = [name for name in _SHOWN if name == "top1" or len({row[name] for row in table} - {None}) > 1]
    if all(row["target"] == row["top1"] for row in table) and "target" in columns:
        columns.remove("target")
    short = short_names(plan.class_names)
    extra = [sort] if sort in table[0] and sort not in (*columns, "id", "top1_probability") else []
    shares = {"probability": "top1_probability"}
    if "target" in columns:
        shares = {"top1's probability": "top1_probability", "target's": "probability"}
    drawn = plain_table("id", "source", *columns, *shares, *extra)
    for row in table:
        words = [
            str(row["id"]),
            str(row["source"]),
            *(_said(short.get(row[name], row[name])) for name in columns),
        ]
        words += [
            *(percent(row[name], "") for name in shares.values()),
            *(_said(row[name]) for name in extra),
        ]
        drawn.add_row(*map(escape, words))
    drawn.columns[0].justify = "right"
    drawn.columns[1].overflow = "fold"
    people.print(drawn)
    for row in table:
        if row["reason"]:
            people.print(f"{row['id']}: {row['reason']}", style="yellow", markup=False, soft_wrap=True)
    if offset + len(table) < count:
        people.print(f"… --offset {offset + len(table)} shows the next.", markup=False)


def _said(value: Any) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _save(rows: RunRows, path: Path, style: Mapping[str, Any]) -> None:
    if path.suffix.lower() != ".csv":
        _write(rows.sheet(**style), path)
        return
    import pyarrow
    from pyarrow import csv

    table = rows.to_arrow()
    flat = [field.name for field in table.schema if not pyarrow.types.is_nested(field.type)]
    try:
        csv.write_csv(table.select(flat), path)
    except OSError as error:
        raise InputError(f"--save {path} cannot be written: {error}.") from error


def _show_means(
    people: Console,
    means: Mapping[Any, MeanMap],
    save: Path | None,
    style: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    if not means:
        raise InputError("There is no map that is not zero among these rows, so there is no mean map.")
    if as_json:
        facts = {str(one): {"count": mean.count, "map": mean.map.tolist()} for one, mean in means.items()}
        print_json(facts)
    else:
        table = plain_table("class", "maps")
        for one, mean in means.items():
            table.add_row(escape("no value" if one is None else str(one)), f"{mean.count:,}")
        table.columns[1].justify = "right"
        people.print(table)
    if save is None:
        return
    panels = [_mean_panel("no value" if one is None else str(one), mean) for one, mean in means.items()]
    columns = math.ceil(math.sqrt(len(panels)))
    _write(render.picture(render.grid_of(panels, columns), opacity=1.0, panel_inches=1.6, **style), save)
    show_files(people, [str(save)])


def _mean_panel(name: str, mean: MeanMap) -> render.Panel:
    """A mean map by itself, on nothing."""
    size = (_SIDE, round(_SIDE * mean.map.shape[1] / mean.map.shape[0]))
    heat = np.asarray(scaled(resize(mean.map[None, None], size), "map"))[0, 0]
    return render.Panel(np.zeros((*size, 3), np.uint8), heat, name, f"{mean.count:,} maps")


def _write(picture: Image.Image, path: Path) -> None:
    try:
        render.save_picture(picture, path)
    except OSError as error:
        raise InputError(f"--save {path} cannot be written: {error.strerror or error}.") from error
