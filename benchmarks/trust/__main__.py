"""Which methods can be trusted, and by which test? Real weights, real photos, everything offline.

    python -m benchmarks.trust                                # all of it (hours on one core); stop it when you like
    python -m benchmarks.trust --models demo --tests verdict --photos 20
    python -m benchmarks.trust --page docs/leaderboard.md     # the page and its figure, of all rows that --out holds

adds one line of JSON for each model, photo and test to `--out`. What has a line there is skipped.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import camscope
from benchmarks.photos import MissingPhotosError, Photo, check
from benchmarks.real_models import REAL_MODELS, MissingModelError
from benchmarks.trust.kept_rows import KEPT, Row, append, read
from benchmarks.trust.tests_of_maps import TESTS, Test


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trust",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [test.name for test in TESTS]
    parser.add_argument("--models", nargs="+", choices=REAL_MODELS, default=list(REAL_MODELS), metavar="NAME")
    parser.add_argument(
        "--tests", nargs="+", choices=names, default=names, metavar="TEST", help=f"of {names}"
    )
    parser.add_argument("--photos", type=int, default=1000, help="of each model's, at most")
    parser.add_argument("--out", type=Path, default=KEPT, help="the rows (default: those that are kept)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="only write the page of --out's rows")
    given = parser.parse_args(arguments)
    if given.page:
        from benchmarks.trust.page import write

        rows = read(given.out)
        if not rows:
            raise SystemExit(
                f"{given.out} has no rows yet: python -m benchmarks.trust --out {given.out} adds them."
            )
        write(given.page, rows)
        return
    for name in given.models:
        some = REAL_MODELS[name].photos()
        try:
            check(some)
            explainer = REAL_MODELS[name].explainer()
        except MissingPhotosError as error:
            raise SystemExit(str(error)) from None
        except MissingModelError as error:
            sys.stdout.write(f"skipped {name}: {error}\n")
            continue
        for test in TESTS:
            if test.name in given.tests:
                run(name, explainer, test, some[: min(test.photos, given.photos)], given.out)


def run(name: str, explainer: camscope.Explainer, test: Test, some: Sequence[Photo], out: Path) -> None:
    """Measure what has no row yet, and add the rows."""
    done, methods = {row.key for row in read(out)}, test.methods_of(name)
    for photo in some:
        if (name, photo.name, test.name) in done or not methods:
            continue
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", camscope.CamscopeWarning)  # all methods of a photo say the same
            e, values, facts = test.measure(explainer, photo.image, methods)
        probabilities = np.asarray(e.probabilities)[0]
        best = int(probabilities.argmax())
        row = Row(
            model=name,
            photo=photo.name,
            test=test.name,
            series=photo.series,
            kind=photo.kind,
            target=(e.class_names or [str(best)])[best].partition(",")[0],
            probability=round(float(probabilities[best]), 4),
            values=values,
            facts=facts,
            seconds=round(time.process_time() - start, 2),
        )
        append(out, row)
        sys.stdout.write(f"{name}  {test.name}  {photo.name}: {row.target} ({row.seconds} s)\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
