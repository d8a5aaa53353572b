"""What a run explains, whatever it is: the one difference between photos and texts that the command knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from PIL import Image
from rich.console import Console

from camscope.engine.explainer import Explainer
from camscope.errors import InputError
from camscope.results.explanation import Explanation


class File(NamedTuple):
    """A file to be written.

    Attributes:
        ending: of its name, behind the name of what was explained; of a picture without its suffix.
        content: a picture, or what writes the file to a path.
    """

    ending: str
    content: Image.Image | Callable[[Path], object]


class Outcome(NamedTuple):
    """What became of one source: its explanation, or why there is none."""

    name: str
    found: Explanation | InputError


class Sources(Protocol):
    """The inputs of one run: `Photos`, `Texts` or `Sounds`.

    Attributes:
        noun: what one of them is called.
        names: what each of them is called, in order, each once.
        stems: what the names of the files of each begin with, by what it is called.
        drawn_at_once: how many of their pictures may be drawn at a time.
    """

    noun: str
    names: Sequence[str]
    stems: Mapping[str, Path]
    drawn_at_once: int

    def read(self, explainer: Explainer, name: str) -> Any:
        """Read one of them; may be called by several threads at once.

        Args:
            explainer: of the model.
            name: what it is called.

        Raises:
            InputError: if it cannot be read.
        """

    def explained(
        self, explainer: Explainer, read: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Iterator[Outcome]:
        """Explain some of them, in one run of the model where that can be; one that fails leaves the others.

        Args:
            explainer: of the model.
            read: what `read` gave, by what each is called; at least one.
            options: of the explainer's call.

        Raises:
            CamscopeError: if the options do not suit the model.
        """

    def overlays(self, e: Explanation, style: Mapping[str, Any]) -> Iterator[File]:
        """The evidence laid on what was explained, as files."""

    def show(self, people: Console, e: Explanation) -> None:
        """Print what the maps of one of them say, and its notes."""

    def ideas(self, again: Again) -> list[str]:
        """What to try next, as command lines.

        Args:
            again: gives this run's command line.
        """


class Again(Protocol):
    """Gives the command line of a run."""

    def __call__(self, *, without: Collection[str] = (), inputs: Sequence[str] | None = None) -> str:
        """The command line that repeats the run, ready to be pasted.

        Args:
            without: options that are left out, such as `--save`.
            inputs: what is explained; None for what this run explained.
        """
