"""Do the tests notice? Plants known bugs, one at a time, in a copy of the repository, and runs tests that should fail.

    python -m benchmarks.mutants                # all of them: an hour, more on a busy machine
    python -m benchmarks.mutants --only figures # those whose file or description holds the word

The working tree is only read. Prints for every bug `caught` (a test failed, which is named), `SURVIVED`, `TOO LONG` (no
test had failed when the time was up, which proves nothing), or what is wrong with the bug itself: `stale` (its old text
does not stand in the file exactly once) or `broken` (the tests cannot even be collected with it). Exits 1 below 95 %
caught, or if a bug is stale or broken. Bugs are in `benchmarks/planted_bugs.py`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from benchmarks.planted_bugs import BUGS, Bug

ROOT = Path(__file__).parent.parent
LEAST = 0.95
SECONDS = 300
"""Of the processor, for the tests of one bug: on a busy machine they take longer, and that is no sign of a bug."""

WAITING = 10 * SECONDS
"""By the clock: a bug may leave the tests waiting for what never comes."""

FAILED, PASSED, ELSEWHERE = 1, 0, 99
"""Exit statuses of pytest, and one for tests that ran on another camscope; any other: they could not be run."""

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["numpy", "torch", "matplotlib.figure", "scipy.ndimage", "PIL.Image", "beartype", "jaxtyping", "pytest"]
)
"""Each run starts as a copy of a process that has imported what is slow to import, and nothing of this repository."""


def copy_of(root: Path, folder: Path) -> Path:
    """What the tests need of the repository, in a folder of its own, without compiled files."""
    copy = folder / "camscope"
    copy.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("src", "tests", "benchmarks"):
        shutil.copytree(root / name, copy / name, ignore=ignored)
    for file in root.glob("*.*"):
        if file.is_file():
            shutil.copy2(file, copy / file.name)
    return copy


def run_tests(copy: Path, tests: Sequence[str], log: Path) -> None:
    """Run tests in the copy until one fails, in a process that ends with pytest's exit status."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.chdir(copy)
        sys.path[:0] = [str(copy / "src"), str(copy)]
        sys.dont_write_bytecode = False  # only what a bug changes is compiled again
        for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
            del sys.modules[name]  # that of the working tree
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
        camscope = sys.modules.get("camscope")
        if camscope is None or not Path(str(camscope.__file__)).is_relative_to(copy):
            print(f"The tests ran on {camscope}, and not on the copy in {copy}.")
            status = ELSEWHERE
        sys.stdout.flush()
        os._exit(status)


def outcome(copy: Path, tests: Sequence[str]) -> tuple[int | None, str]:
    """The exit status of tests in the copy (None: not done in time), and what was printed."""
    log = copy / "printed.txt"
    process = PROCESSES.Process(target=run_tests, args=(copy, tests, log))
    process.start()
    process.join(WAITING)
    if process.is_alive():
        process.kill()
        process.join()
        return None, ""
    if process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
        return None, ""
    return process.exitcode, log.read_text(encoding="utf-8")


def check_tests(copies: SimpleQueue[Path], bugs: Sequence[Bug], jobs: int) -> None:
    """Refuse to go on if the tests fail without any bug."""

    def check(test: str) -> None:
        copy = copies.get()
        status, printed = outcome(copy, [test])
        copies.put(copy)
        if status != PASSED:
            raise SystemExit(f"{test} does not pass as it is, so it can prove nothing:\n{printed[-3000:]}")

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(check, sorted({test for bug in bugs for test in bug.tests})))


def write(file: Path, text: str) -> None:
    """Give a file another text, and a time that no compiled file of it has: one of the same second would be taken."""
    later = int(file.stat().st_mtime) + 2
    file.write_text(text, encoding="utf-8")
    os.utime(file, (later, later))


def tried(copy: Path, bug: Bug) -> tuple[str, str]:
    """What became of one bug, and the first test that noticed; the copy is afterwards as it was."""
    file = copy / bug.file
    right = file.read_text(encoding="utf-8") if file.exists() else ""
    if right.count(bug.old) != 1 or bug.old == bug.new:
        return "stale", f"its old text is there {right.count(bug.old)} times"
    write(file, right.replace(bug.old, bug.new))
    try:
        status, printed = outcome(copy, bug.tests)
    finally:
        write(file, right)
    if status is None:
        return "TOO LONG", ", ".join(bug.tests)
    if status == PASSED:
        return "SURVIVED", ", ".join(bug.tests)
    failed = [line for line in printed.splitlines() if line.startswith("FAILED")]
    if status != FAILED or not failed:
        return "broken", printed.strip().splitlines()[-1] if printed.strip() else f"status {status}"
    return "caught", failed[0].removeprefix("FAILED ").partition(" - ")[0]


def main() -> int:
    """Run them, print what became of each, and the share that was caught."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="those whose file or description holds this word")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time, each in a copy of its own")
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="do not first run the tests without a bug (they were just run)",
    )
    arguments = parser.parse_args()
    bugs = [bug for bug in BUGS if arguments.only in f"{bug.file} {bug.breaks}"]
    if not bugs:
        raise SystemExit(f"No bug's file or description holds {arguments.only!r}.")
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for job in range(arguments.jobs):
            copies.put(copy_of(ROOT, Path(folder) / str(job)))
        if not arguments.unchecked:
            check_tests(copies, bugs, arguments.jobs)

        def plant(bug: Bug) -> None:
            copy = copies.get()
            what, detail = tried(copy, bug)
            copies.put(copy)
            found[what] += 1
            print(f"{what:8} {bug.file.removeprefix('src/camscope/')}: {bug.breaks} [{detail}]", flush=True)

        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(plant, bugs))
    share = found["caught"] / len(bugs)
    print(f"{found['caught']} of {len(bugs)} caught ({share:.1%}): {dict(found)}")
    return 1 if share < LEAST or "stale" in found or "broken" in found else 0


if __name__ == "__main__":
    sys.exit(main())
