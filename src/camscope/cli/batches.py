"""The run itself: batch by batch, each input is explained, written and shown as soon as it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from camscope.cli.request import Request
from camscope.cli.run_table import RunTable
from camscope.cli.showing import FEW, show_explanation
from camscope.cli.sources import Sources
from camscope.cli.writers import Writers
from camscope.cli.writing import write
from camscope.engine.explainer import Explainer
from camscope.engine.progress_bar import bar, in_steps
from camscope.errors import InputError
from camscope.results.explanation import Explanation


@dataclass
class Done:
    """What a run has done so far.

    Attributes:
        total: how many inputs there are to do.
        table: the file with a line for each input; None where there are few.
        skipped: how many an earlier run had done.
        results: of each input that was explained, what is known, as plain JSON-able values.
        failed: each input that was not, and why.
        stopped: whether Ctrl-C ended it.
    """

    total: int
    table: Path | None
    skipped: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    stopped: bool = False

    def document(self) -> dict[str, Any]:
        """For a program."""
        failed = [{"source": source, "error": reason} for source, reason in self.failed]
        return {"explained": self.results, "failed": failed, "stopped": self.stopped}


def table_of(out: Path, sources: Sources) -> Path | None:
    """The file of a run's table; None where the inputs are so few that there is none.

    Args:
        out: the folder of the run.
        sources: what it explains.
    """
    return out / f"{sources.noun}s.csv" if len(sources.names) > FEW else None


def explain_all(explainer: Explainer, sources: Sources, request: Request, people: Console) -> Done:
    """Explain all sources, and write what was asked for; a few of them are shown one by one.

    Args:
        explainer: of the model.
        sources: what to explain.
        request: what was asked for.
        people: where they read.

    Raises:
        InputError: if files cannot be written.
        CamscopeError: if what was asked for does not suit the model.
    """
    path = table_of(request.out, sources)
    table = None if path is None else RunTable(path, request.told())
    if request.resume and table is None:
        raise InputError(
            f"--resume goes on with a run of more than {FEW} {sources.noun}s that was stopped; leave it out."
        )
    earlier = table.go_on() if table is not None and request.resume else set()
    names = [name for name in sources.names if name not in earlier]
    done = Done(len(names), path, skipped=len(sources.names) - len(names))
    size = 1 if explainer.keeps_sizes else request.batch
    options = request.explainer_options(instances=explainer.detects)
    with _stopping(done), Writers() as writers, bar("explaining", shown=len(names) > 2) as told:
        advance = in_steps(told, len(names))
        for some in batches_of(names, size):
            found = []
            for name, outcome in sources.explained(explainer, some, options):
                written = (
                    []
                    if isinstance(outcome, InputError)
                    else _write(outcome, name, writers, sources, request)
                )
                found.append((name, outcome, written))
            writers.finish()  # what the table says is done is done
            for name, outcome, written in found:
                _note(done, table, name, outcome, written)
                if table is None and not request.as_json and not isinstance(outcome, InputError):
                    show_explanation(people, outcome, name, sources=sources, written=written)
            advance(len(some))
    return done


def _write(e: Explanation, name: str, writers: Writers, sources: Sources, request: Request) -> list[str]:
    """Have the files of one input written; gives their paths."""
    stem = request.out / sources.stems[name]
    return write(e, stem, request.save, writers, sources=sources, pictures=request.pictures)


def _note(
    done: Done, table: RunTable | None, name: str, outcome: Explanation | InputError, written: list[str]
) -> None:
    """Note what became of one input."""
    if isinstance(outcome, InputError):
        done.failed.append((name, str(outcome)))
        if table is not None:
            table.add_failure(name, str(outcome))
        return
    known = outcome.summary()
    facts = {**known, "source": name, "notes": [*known["notes"], *outcome.notes], "files": written}
    done.results.append(facts)
    if table is not None:
        table.add(facts)


@contextmanager
def _stopping(done: Done) -> Iterator[None]:
    """Let Ctrl-C end a run that has a table, and can be gone on with; it ends the whole command otherwise."""
    try:
        yield
    except KeyboardInterrupt:
        if done.table is None:
            raise
        done.stopped = True


def batches_of(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Parts of a list, each of `size` but the last."""
    for start in range(0, len(names), size):
        yield names[start : start + size]
