"""Which model a command is to explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.cli.collecting import loading
from camscope.cli.files import read_class_names
from camscope.engine.explainer import Explainer
from camscope.errors import InputError
from camscope.outputs import Task


@dataclass(frozen=True)
class ModelOptions:
    """What a command's options say of the model.

    Attributes:
        name: `demo`, `timm:NAME`, `FILE.py:FACTORY` and so on; see `Explainer`.
        weights: a file, or `random`.
        trust_pickle: whether a weights file may run code.
        device: where the model is moved to.
        task: what its outputs mean, where that is not to be found out.
        classes: a file of class names.
        preprocessing: how photos are prepared, by a name or a file; None leaves it to the model.
        num_classes: how many outputs the model is to have, where no weights say it.
    """

    name: str
    weights: str | None = None
    trust_pickle: bool = False
    device: str | None = None
    task: Task | None = None
    classes: Path | None = None
    preprocessing: str | None = None
    num_classes: int | None = None

    def open(self) -> Explainer:
        """Load the model.

        Raises:
            InputError: if the file of class names cannot be read, or the number of classes is none.
            ModelError: if the model cannot be loaded.
        """
        keywords = self.keywords()
        with loading():
            return Explainer(self.name, **keywords)

    def keywords(self) -> dict[str, Any]:
        """What `Explainer` takes besides the name, where it is not the default.

        Raises:
            InputError: if the file of class names cannot be read, or the number of classes is none.
        """
        if self.num_classes is not None and self.num_classes < 1:
            raise InputError(f"--num-classes {self.num_classes}: expected at least 1.")
        given = {
            "weights": self.weights,
            "num_classes": self.num_classes,
            "trust_pickle": self.trust_pickle or None,
            "device": self.device,
            "task": self.task,
            "class_names": read_class_names(self.classes) if self.classes else None,
            "preprocessing": self.preprocessing,
        }
        return {name: value for name, value in given.items() if value is not None}

    def words(self) -> list[str]:
        """The words on the command line that give the same model, its outputs and its preprocessing again."""
        given = {"--task": self.task, "--classes": self.classes, "--preprocessing": self.preprocessing}
        given["--device"] = self.device
        return [*self.listing_words(), *words_of(given)]

    def listing_words(self) -> list[str]:
        """Those of them that `camscope layers` and `camscope methods` take: the model and its weights."""
        name = None if self.name == "demo" else self.name
        trust = ["--trust-pickle"] if self.trust_pickle else []
        given = {"--model": name, "--weights": self.weights, "--num-classes": self.num_classes}
        return [*words_of(given), *trust]


def words_of(given: Mapping[str, object]) -> list[str]:
    """Options and their values as words of a command line.

    Args:
        given: by option; what is None is left out, and of a list each goes with an option of its own.
    """
    several = {
        option: value if isinstance(value, (list, tuple)) else [value] for option, value in given.items()
    }
    pairs = [
        (option, str(value)) for option, values in several.items() for value in values if value is not None
    ]
    # a value that begins with a hyphen would be taken for an option
    return [
        word
        for option, value in pairs
        for word in ([f"{option}={value}"] if value.startswith("-") else [option, value])
    ]


def check_size(size: int | None) -> None:
    """Refuse a side of a picture that is none.

    Raises:
        InputError: if it is not positive.
    """
    if size is not None and size < 1:
        raise InputError(f"--size {size}: expected a number of pixels, at least 1.")


def check_no_size_of_texts(size: int | None, explainer: Explainer) -> None:
    """Refuse a side of a picture for a model that reads texts.

    Raises:
        InputError: if both is so.
    """
    if size is not None and explainer.reads_texts:
        raise InputError(f"--size {size} is the side of a picture, and this model reads texts: leave it out.")
