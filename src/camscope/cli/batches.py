"""The run itself: batch by batch, each input is explained, drawn, written and shown as soon as it is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from camscope.cli.reading_ahead import explained_in_batches
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

MOST_LISTED = 20
"""Of so many inputs what was found is listed at the end; of more it is kept for a program only."""


@dataclass
class Done:
    """What a run has done so far.

    Attributes:
        total: how many inputs there are to do.
        table: the file with a line for each input; None where there are few.
        skipped: how many an earlier run had done.
        explained: how many this one has explained.
        results: of these, or of the first to be listed, what is known, as plain JSON-able values.
        failed: each input that was not, and why.
        stopped: whether Ctrl-C ended it.
    """

    total: int
    table: Path | None
    skipped: int = 0
    explained: int = 0
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
    pictures = request.pictures.of_so_many(len(sources.names))
    with (
        _stopping(done),
        bar("explaining", shown=len(names) > 2) as told,
        explained_in_batches(explainer, sources, names, size, options) as batches,
        Writers(sources.drawn_at_once) as writers,
        _Notes(done, table, request, sources, people, in_steps(told, len(names))) as notes,
    ):
        for outcomes in batches:
            if table is not None and not table.begun:
                table.begin(over=request.overwrite)
            for name, outcome in outcomes:
                files = None
                if isinstance(outcome, Explanation):
                    stem = request.out / sources.stems[name]
                    files = writers.begin(
                        write, outcome, stem, request.save, sources=sources, pictures=pictures
                    )
                notes.add(name, outcome, files)
                notes.finish(but=2 * sources.drawn_at_once)  # these are drawn while the next are explained
            if table is None:
                notes.finish()
    return done


@dataclass
class _Notes:
    """A context that notes, in order, what became of each input, once its files are there: also if it is ended early.

    Attributes:
        done: where it is noted.
        table: likewise; where there is none, each is shown.
        request: what was asked for.
        sources: what the inputs are among.
        people: where they read.
        advance: is told of each.
    """

    done: Done
    table: RunTable | None
    request: Request
    sources: Sources
    people: Console
    advance: Callable[[int], None]
    _waiting: deque[tuple[str, Explanation | InputError, Future[list[str]] | None]] = field(
        default_factory=deque
    )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Note all whose files can be written; what the first of the others died of is raised, if nothing else is."""
        failed: list[Exception] = []
        while self._waiting:
            try:
                self.finish()
            except Exception as why:
                failed.append(why)
        if failed and kind is None:
            raise failed[0]

    def add(self, name: str, outcome: Explanation | InputError, files: Future[list[str]] | None) -> None:
        """Take what became of an input.

        Args:
            name: of the input.
            outcome: its explanation, or why there is none.
            files: the paths of its files, once they are there; None if there are none.
        """
        self._waiting.append((name, outcome, files))

    def finish(self, but: int = 0) -> None:
        """Wait for files, and note their inputs.

        Args:
            but: so many inputs may still wait.

        Raises:
            CamscopeError: if files could not be drawn or written.
        """
        while len(self._waiting) > but:
            if (files := self._waiting[0][2]) is not None:
                wait([files])  # here Ctrl-C leaves it waiting
            name, outcome, files = self._waiting.popleft()
            self._note(name, outcome, [] if files is None else files.result())
            self.advance(1)

    def _note(self, name: str, outcome: Explanation | InputError, files: list[str]) -> None:
        if isinstance(outcome, InputError):
            self.done.failed.append((name, str(outcome)))
            if self.table is not None:
                self.table.add_failure(name, str(outcome))
            return
        known = outcome.summary()
        facts = {**known, "source": name, "notes": [*known["notes"], *outcome.notes], "files": files}
        self.done.explained += 1
        if self.request.as_json or len(self.done.results) < MOST_LISTED:
            self.done.results.append(facts)
        if self.table is not None:
            self.table.add(facts)
        elif not self.request.as_json:
            show_explanation(self.people, outcome, name, sources=self.sources, written=files)


@contextmanager
def _stopping(done: Done) -> Iterator[None]:
    """Let Ctrl-C end a run that has a table, and can be gone on with; it ends the whole command otherwise."""
    try:
        yield
    except KeyboardInterrupt:
        if done.table is None:
            raise
        done.stopped = True
