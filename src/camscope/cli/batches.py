"""The run itself: batch by batch, each input is explained, written and shown as soon as it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from camscope.cli.files import file_names
from camscope.cli.output import console
from camscope.cli.request import Request
from camscope.cli.showing import FEW, show_explanation
from camscope.cli.sources import Sources
from camscope.cli.writing import write
from camscope.engine.explainer import Explainer
from camscope.errors import InputError
from camscope.results.explanation import Explanation


@dataclass
class Done:
    """What a run has done so far.

    Attributes:
        results: of each input that was explained, what is known, as plain JSON-able values.
        failed: each input that was not, and why.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """For a program."""
        failed = [{"source": source, "error": reason} for source, reason in self.failed]
        return {"explained": self.results, "failed": failed}


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
    stems = file_names(sources.names, sources.noun)
    one_by_one = len(sources.names) <= FEW and not request.as_json
    size = 1 if explainer.keeps_sizes else request.batch
    options = request.explainer_options(instances=explainer.detects)
    done = Done()
    with _progress(len(sources.names)) as advance:
        for names in _batches(sources.names, size):
            for name, found in sources.explained(explainer, names, options):
                if isinstance(found, InputError):
                    done.failed.append((name, str(found)))
                    continue
                stem = request.out / stems[name]
                written = write(found, stem, request.save, sources=sources, style=request.style)
                done.results.append(_facts(found, name, written))
                if one_by_one:
                    show_explanation(people, found, name, sources=sources, written=written)
            advance(len(names))
    return done


def _facts(e: Explanation, name: str, written: list[str]) -> dict[str, Any]:
    known = e.summary()
    return {**known, "source": name, "notes": [*known["notes"], *e.notes], "files": written}


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar, which what is given takes so many steps further; none for one or two inputs."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console(stderr=True), disable=total < 3, transient=True,
    ) as progress:  # fmt: skip
        running = progress.add_task("explaining", total=total)
        yield lambda steps: progress.update(running, advance=steps)


def _batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
