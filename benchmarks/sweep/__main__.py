"""Does every model of a library get its map, and of the right places? With no argument but the model.

    python -m benchmarks.sweep                                  # one small variant of every timm family
    python -m benchmarks.sweep --torchvision                    # torchvision's classifiers
    python -m benchmarks.sweep --all 'vit_*' '*convnext*'       # every registered model with such a name
    python -m benchmarks.sweep --library transformers smp       # every class of these, built small
    python -m benchmarks.sweep --markdown docs/sweep.md         # the table of all rows that --out holds

runs `camscope.Explainer(model)(x)` on models with random weights, each in a process of its own with a limit of time
and memory, and appends one JSON line per model to `--out`. What has a line there is skipped, so a sweep that was
stopped goes on where it was. A model gets a **map** (finite, not constant, in place), one that is **blurred** or of the
**wrong place**; camscope **refuses** it with a reason; or it **fails** (anything else). What is **no classifier**, or
**not built** with a small configuration, is not counted.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.sweep.processes import Nursery
from benchmarks.sweep.rows import KEPT, MAP, PACKAGES, Candidate, Row, append, read, without_row
from benchmarks.sweep.run import models_of
from benchmarks.sweep.table import table


def main(arguments: Sequence[str] | None = None) -> None:
    """Sweep, or write the table."""
    options, parser = read_options(arguments)
    if options.markdown:
        options.markdown.write_text(table(read(options.out)), "utf-8")
        return
    libraries = options.library or (["torchvision"] if options.torchvision else ["timm"])
    matched = False
    for library in libraries:
        missing = not_installed(library)
        if missing:
            matched = True
            sys.stdout.write(f" skipped  {library}: {', '.join(missing)} is not installed\n")
            continue
        candidates = [
            c
            for c in models_of(library).candidates(library)
            if not options.names or any(fnmatch(c.name, n) or fnmatch(c.family, n) for n in options.names)
        ]
        if candidates:
            matched = True
            sweep(candidates, options)
    if not matched:
        parser.error(f"no model of {', '.join(libraries)} matches {' '.join(options.names)}")


def read_options(
    arguments: Sequence[str] | None,
) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", help="only models whose name (or family) matches one of these patterns"
    )
    parser.add_argument(
        "--library", nargs="+", choices=PACKAGES, metavar="NAME", help=f"of {', '.join(PACKAGES)}"
    )
    parser.add_argument("--torchvision", action="store_true", help="torchvision's classifiers, all of them")
    parser.add_argument(
        "--all",
        action="store_true",
        help="every model of timm, not one per family; those that cost least first",
    )
    parser.add_argument("--out", type=Path, default=KEPT, help="the rows (default: those that are kept)")
    parser.add_argument("--limit", type=float, default=600, help="seconds per model (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=16, help="GiB per model (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="only write the table of --out's rows")
    return parser.parse_args(arguments), parser


def sweep(candidates: Sequence[Candidate], options: argparse.Namespace) -> None:
    """Run what has no row yet, and add the rows."""
    with Nursery() as nursery:
        for candidate in left(candidates, read(options.out), every=options.all):
            row = nursery.isolated(candidate, options.limit, options.memory)
            append(options.out, row)
            what = f"{row.layer} {row.grid}" if row.result == MAP else (row.reason.splitlines() or [""])[0]
            sys.stdout.write(f"{row.result:>8}  {row.family}/{row.name}: {what[:100]} ({row.seconds} s)\n")
            sys.stdout.flush()


def left(candidates: Sequence[Candidate], rows: Sequence[Row], *, every: bool) -> Iterable[Candidate]:
    """What is still to run: models without a row; of timm, unless all are wanted, families without one.

    All of timm's come in the order of their cost, so that a sweep that is stopped has run the most models it could.
    """
    if candidates[0].library != "timm":
        return without_row(candidates, rows)
    from benchmarks.sweep.registered import cost, smallest

    if every:
        return sorted(without_row(candidates, rows), key=cost)
    return smallest(candidates, {row.family for row in rows if row.library == "timm"})


def not_installed(library: str) -> list[str]:
    """The packages of a library that are not there."""

    def found(package: str) -> bool:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return False
        return True

    return [package for package in PACKAGES[library] if not found(package)]


if __name__ == "__main__":
    main()
