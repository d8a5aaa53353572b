"""What one run of `camscope explain` is asked for: read from the options, and checked before any work is done."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camscope.cli.model_options import ModelOptions, words_of
from camscope.cli.pictures import OverlaySize, Pictures
from camscope.cli.writing import KINDS
from camscope.composition import Expression, parse, split
from camscope.engine.over_batches import LABELS
from camscope.errors import InputError, nearest
from camscope.targets import Instance, TargetLike, TopK, parse_target

USUAL_KINDS = "figure,overlay"
USUAL_FOLDER = Path("camscope-out")
USUAL_BATCH = 8
_CHANNELS = 15


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for.

    Attributes:
        save: the kinds of files to write, in the order of `camscope.cli.writing.KINDS`.
        inputs: the photos or texts as they were typed.
        pictures: how they look.
        methods: none of them stands for the model's default.
        targets: as they were typed; none of them stands for the top classes.
        top: how many top classes, or a detector's most likely instances; None for at most three, or one.
        layers: none of them stands for the automatic choice.
        model: which model.
        out: the folder that files go into.
        batch: how many inputs run at a time.
        seed: of methods that draw at random.
        as_json: whether a program reads the output.
        overwrite: whether files that are there are written over.
        resume: whether what an earlier run has explained is left out.

    Raises:
        InputError: if a number is too small.
        TargetError: if a target is none.
    """

    save: tuple[str, ...]
    inputs: tuple[str, ...]
    pictures: Pictures
    methods: tuple[Expression, ...]
    targets: tuple[str, ...]
    top: int | None
    layers: tuple[str, ...]
    model: ModelOptions
    out: Path
    batch: int
    seed: int
    as_json: bool
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or (self.top is not None and self.top < 1):
            raise InputError("--batch and --top must be at least 1.")
        if self.resume and self.overwrite:
            raise InputError(
                "--resume leaves what is there, and --overwrite writes over it: say one of both."
            )
        for text in self.targets:
            if text == LABELS:
                raise InputError(
                    f"--target {LABELS} is for camscope run, which reads labels. Here say a class: --target NAME."
                )
            parse_target(text)

    def explainer_options(self, *, instances: bool = False) -> dict[str, Any]:
        """What an `Explainer` is called with, besides the inputs.

        Args:
            instances: whether the model detects instances, which are explained then where no target is named.
        """
        top: list[TargetLike] = [TopK(3, or_fewer=True) if self.top is None else TopK(self.top)]
        if instances:
            top = [Instance(number) for number in range(self.top or 1)]
        return {
            "methods": list(self.methods) or None,
            "targets": list(self.targets) or top,
            "layers": list(self.layers) or None,
            "channels": _CHANNELS if "channels" in self.save else 0,
            "seed": self.seed,
        }

    def again(self, *, without: Collection[str] = (), inputs: Sequence[str] | None = None) -> str:
        """The command line that repeats this run, ready to be pasted; what is the default is left out.

        Args:
            without: options that are left out, such as `--save`.
            inputs: what is explained; None for what this run explained.
        """
        shown = [
            f"./{one}" if one.startswith("-") else one for one in (self.inputs if inputs is None else inputs)
        ]
        return shlex.join(["camscope", "explain", *shown, *self.model.words(), *self._words(without)])

    def told(self) -> str:
        """The options that the content of the files depends on, as they are typed; empty if all are the defaults."""
        words = replace(self.model, device=None).words()
        return shlex.join([*words, *self._words(("--out", "--batch"))])

    def _words(self, without: Collection[str]) -> list[str]:
        save = ",".join(self.save)
        given: dict[str, Any] = {
            "--method": [one.name for one in self.methods],
            "--target": self.targets,
            "--layer": self.layers,
            "--top": self.top,
            "--save": None if save == USUAL_KINDS else save,
            **self.pictures.options(),
            "--out": None if self.out == USUAL_FOLDER else self.out,
            "--batch": None if self.batch == USUAL_BATCH else self.batch,
            "--seed": self.seed or None,
        }
        return words_of({option: value for option, value in given.items() if option not in without})


def read_inputs(given: Sequence[str], question: str) -> tuple[str, ...]:
    """The inputs as they were typed.

    Raises:
        InputError: the question, if there are none.
    """
    if not given:
        raise InputError(question)
    return tuple(given)


def read_kinds(text: str) -> tuple[str, ...]:
    """The kinds of files in the value of `--save`, each once.

    Raises:
        InputError: for a kind that does not exist.
    """
    words = read_words([text])
    for word in words:
        if word not in KINDS:
            raise InputError(
                f"--save {word}: expected {', '.join(KINDS)}, separated by commas.{nearest(word, KINDS)}"
            )
    return tuple(kind for kind in KINDS if kind in words)


def read_style(colormap: str | None, opacity: float | None = None) -> dict[str, Any]:
    """How pictures look, as keywords for the figures of an explanation; what is None is left to them.

    Raises:
        InputError: for an opacity outside 0 to 1, or an unknown colour map.
    """
    style: dict[str, Any] = {}
    if opacity is not None:
        if not 0 <= opacity <= 1:
            raise InputError(f"--opacity {opacity}: expected 0 (only the photo) to 1 (only the colours).")
        style["opacity"] = opacity
    if colormap is not None:
        import numpy as np

        from camscope.render import colours

        colours(np.zeros((1, 1), dtype=np.float32), colormap)  # raises for an unknown name
        style["colormap"] = colormap
    return style


def read_size(size: OverlaySize) -> OverlaySize:
    """The side of an overlay.

    Raises:
        InputError: if it is no number of pixels.
    """
    if size != "full" and size < 1:
        raise InputError(f"--overlay-size {size}: expected a number of pixels, at least 1, or full.")
    return size


def read_methods(given: Sequence[str] | None) -> tuple[Expression, ...]:
    """The methods, several in one word or in many; a comma inside brackets separates no methods.

    Raises:
        MethodError: for what is no method.
    """
    return tuple(parse(part) for text in given or () for part in split(text))


def read_words(given: Sequence[str] | None) -> list[str]:
    """Names separated by commas, several in one word or in many."""
    return [word.strip() for text in given or () for word in text.split(",") if word.strip()]
