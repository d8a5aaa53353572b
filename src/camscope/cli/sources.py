"""What a run explains, whatever it is: the one difference between photos and texts that the command knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rich.console import Console

from camscope.engine.explainer import Explainer
from camscope.errors import InputError
from camscope.results.explanation import Explanation


class File(NamedTuple):
    """A file to be written.

    Attributes:
        ending: of its name, behind the name of what was explained.
        write: writes it to a path.
    """

    ending: str
    write: Callable[[Path], object]


class Outcome(NamedTuple):
    """What became of one source: its explanation, or why there is none."""

    name: str
    found: Explanation | InputError


class Sources(Protocol):
    """The inputs of one run: `Photos` or `Texts`.

    Attributes:
        noun: what one of them is called.
        names: what each of them is called, in order, each once.
    """

    noun: str
    names: Sequence[str]

    def explained(
        self, explainer: Explainer, names: Sequence[str], options: Mapping[str, Any]
    ) -> Iterator[Outcome]:
        """Read and explain some of them, in one run of the model; one that fails leaves the others.

        Args:
            explainer: of the model.
            names: which of them.
            options: of the explainer's call.
        """

    def overlays(self, e: Explanation, style: Mapping[str, Any]) -> Iterator[File]:
        """The evidence laid on what was explained, as files."""

    def show(self, people: Console, e: Explanation) -> None:
        """Print what the maps of one of them say, and its notes."""

    def ideas(self, again: str) -> list[str]:
        """What to try next, as command lines; `again` is one that repeats this run."""


WHAT_THERE_IS = "camscope layers; camscope methods   # what there is to choose from"
"""An idea that suits all."""
