"""The run of `camscope trust`: photo by photo, each is judged, written and shown as soon as it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from camscope import render
from camscope.cli.photo_sources import Photos
from camscope.cli.price import telling_price
from camscope.cli.showing import FEW
from camscope.cli.showing_verdicts import show_judgement
from camscope.cli.sound_sources import Sounds
from camscope.cli.sources import Sources
from camscope.cli.text_sources import Texts
from camscope.composition import Expression
from camscope.engine.explainer import Explainer
from camscope.engine.looking import FOLDERS
from camscope.engine.trusting import check_probes
from camscope.errors import InputError, nearest, without_warnings
from camscope.targets import parse_target
from camscope.trust import Judged, Judgement, list_checks

ENDING = "-trust"
"""Behind a photo's name in those of its files."""

_USUAL_CHECKS = ("fidelity", "class")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes:
        methods: none of them stands for the model's default.
        targets: as they were typed; none of them stands for each photo's top class.
        layers: none of them stands for the automatic choice.
        checks: the names of the tests.
        probes: how many for each photo and grid; None leaves it to the grid.
        seed: of whatever is drawn.
        style: keywords for the figures.
        folders: whether the folders that photos lie in name their classes.

    Raises:
        TargetError: if a target is none.
    """

    methods: tuple[Expression, ...]
    targets: tuple[str, ...]
    layers: tuple[str, ...]
    checks: tuple[str, ...]
    probes: int | None
    seed: int
    style: Mapping[str, Any]
    folders: bool = False

    def __post_init__(self) -> None:
        for text in self.targets:
            parse_target(text)

    def options(self) -> dict[str, Any]:
        """What `Explainer.trust` is called with, besides the inputs."""
        return {
            "methods": list(self.methods) or None,
            "targets": list(self.targets) or None,
            "layers": list(self.layers) or None,
            "labels": FOLDERS if self.folders else None,
            "checks": self.checks,
            "probes": self.probes,
            "seed": self.seed,
        }


@dataclass
class Judgings:
    """What a run has done so far.

    Attributes:
        names: of all that there is to do.
        noun: what one of them is called.
        rows: what each that was judged is called, and what is said of a map of it.
        documents: likewise all that is known, as plain values.
        failed: each that was not, and why.
        stopped: whether Ctrl-C ended it.
    """

    names: Sequence[str]
    noun: str
    rows: list[tuple[str, Judged]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    stopped: bool = False

    def document(self) -> dict[str, Any]:
        """For a program."""
        failed = [{"source": source, "error": reason} for source, reason in self.failed]
        return {"judged": self.documents, "failed": failed, "stopped": self.stopped}


def read_checks(given: Sequence[str]) -> tuple[str, ...]:
    """The tests that words stand for, each once; `all` is every one.

    Args:
        given: the words.

    Raises:
        InputError: for a test that there is not.
    """
    known = list_checks()
    words = given or _USUAL_CHECKS
    for word in words:
        if word not in (*known, "all"):
            raise InputError(
                f"--checks {word}: there is no such test. There are {', '.join(known)}, separated by commas, or all."
                f"{nearest(word, known)}"
            )
    return tuple(known if "all" in words else dict.fromkeys(words))


def read_probes(given: int | None) -> int | None:
    """How many probes are wanted.

    Args:
        given: as it was typed.

    Raises:
        InputError: if they are too few to tell anything.
    """
    check_probes(given)
    return given


def sources_of(explainer: Explainer, given: Sequence[str], out: Path) -> Sources:
    """What the words on the command line stand for, given what the model reads.

    Args:
        explainer: of the model.
        given: the words.
        out: the folder that runs write into.

    Raises:
        InputError: if there is nothing to be found.
    """
    if explainer.reads_texts:
        return Texts(given)
    return Sounds(given) if explainer.hears_sounds else Photos(given, out)


def judge_all(
    explainer: Explainer, sources: Sources, wanted: Wanted, out: Path, people: Console | None
) -> Judgings:
    """Judge the maps of all sources, and write a figure and a file of numbers for each; a few are shown one by one.

    Args:
        explainer: of the model.
        sources: what to judge the maps of.
        wanted: what is asked for.
        out: the folder that files go into.
        people: where they read; None where a program does.

    Raises:
        CamscopeError: if what was asked for does not suit the model, or files cannot be written.
    """
    done = Judgings(list(sources.names), sources.noun)
    options = wanted.options()
    try:
        with telling_price(len(done.names), sources.noun) as price:
            for name in done.names:
                try:
                    given = _read(explainer, sources, name)
                except InputError as error:
                    done.failed.append((name, str(error)))
                    price.skip()
                    continue
                with without_warnings():
                    price.begin()
                    judgement = explainer.trust(given, progress=price.told, tell=price.costs, **options)
                files = _write(judgement, out / sources.stems[name], wanted.style)
                _note(done, name, judgement, files)
                if people is not None and len(done.names) <= FEW:
                    with price.aside():
                        show_judgement(people, name, judgement, files)
                price.next()
    except KeyboardInterrupt:
        done.stopped = True
    return done


def _read(explainer: Explainer, sources: Sources, name: str) -> Any:
    read = sources.read(explainer, name)
    return explainer.prepare(read) if isinstance(sources, Sounds) else [read]


def _write(judgement: Judgement, stem: Path, style: Mapping[str, Any]) -> list[str]:
    """A figure, and the maps with all that was found; gives the paths."""
    figure, numbers = (stem.with_name(f"{stem.name}{ENDING}{ending}") for ending in ("-figure.png", ".npz"))
    try:
        figure.parent.mkdir(parents=True, exist_ok=True)
        render.save_picture(render.as_picture(judgement.figure(**style)), figure)
        judgement.save(numbers)
    except OSError as error:
        raise InputError(f"Cannot write to {figure.parent}: {error.strerror or error}") from error
    return [str(figure), str(numbers)]


def _note(done: Judgings, name: str, judgement: Judgement, files: list[str]) -> None:
    done.rows += [(name, row) for row in judgement.rows]
    known = judgement.to_dict(probes=False)
    done.documents.append({"source": name, **known, "files": files})
