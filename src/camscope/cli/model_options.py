"""Which model a command is to explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from camscope.cli.collecting import loading
from camscope.cli.files import read_class_names
from camscope.engine.explainer import Explainer
from camscope.errors import InputError
from camscope.outputs import Task


@Parameter(name="*")
@dataclass(frozen=True)
class ModelOptions:
    """Which model, and how it is opened: the options of every command that explains, with their help.

    Attributes:
        name: demo (EfficientNet-Lite0 with ImageNet weights), timm:NAME, torchvision:NAME, hf:NAME-OR-FOLDER (Hugging
            Face), keras:NAME-OR-FILE, onnx:FILE.onnx, the folder of a training run, or FILE.py:FACTORY
            (a function that returns the model; its attributes `preprocessing`, `tokenizer` and `class_names` are used).
        weights: A weights file (safetensors, or a PyTorch checkpoint, read without running code), or `random`. The head
            becomes as large as that in the file.
        trust_pickle: Read a file that can run code: with it a whole pickled model is --model FILE.pth. Only for files
            you would run as a program.
        device: cpu, cuda, cuda:1, mps …
        task: What the outputs mean. Found from the model; say `multilabel` for one that returns logits.
        classes: A file of class names, if the model does not know its own: one a line, or JSON (a list, class_to_idx,
            id2label).
        preprocessing: How photos are prepared, where the model does not say it: 0-1, -1-1 or 0-255 (the whole photo at
            the input's size, with values in that range), imagenet, keras:resnet50 (as for keras.applications' models),
            each with a size if the model takes any (0-1@96); or FILE.json, the fields of camscope.Preprocessing.
        num_classes: How many classes a model is to have that is made by name, where no weights say it.
    """

    name: Annotated[str, Parameter("--model")] = "demo"
    weights: str | None = None
    trust_pickle: Annotated[bool, Parameter(negative="")] = False
    device: str | None = None
    task: Task | None = None
    classes: Path | None = None
    preprocessing: Annotated[str | None, Parameter(negative="", allow_leading_hyphen=True)] = None
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

    def changed(self) -> dict[str, Any]:
        """What says how the model is opened, where it is not the default."""
        return {
            name: value
            for name, value in vars(self).items()
            if name != "name" and value != getattr(DEMO, name)
        }

    def words(self) -> list[str]:
        """The words on the command line that give the same model, its outputs and its preprocessing again."""
        name = None if self.name == "demo" else self.name
        trust = ["--trust-pickle"] if self.trust_pickle else []
        model = {"--model": name, "--weights": self.weights, "--num-classes": self.num_classes}
        how = {"--task": self.task, "--classes": self.classes, "--preprocessing": self.preprocessing}
        return [*words_of(model), *trust, *words_of({**how, "--device": self.device})]


DEMO = ModelOptions()
"""The model that needs no words."""


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
