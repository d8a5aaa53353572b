"""The register of libraries: which library an object comes from, and which models can be loaded by name."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camscope.errors import InputError
from camscope.images import Preprocessing
from camscope.libraries.info import ModelInfo
from camscope.plugins import load_plugins
from camscope.signals import SoundReader
from camscope.text import TextReader, as_reader


@dataclass(frozen=True)
class Library:
    """A library of models. It is recognised by names, so nothing of it is imported before one of its models is met.

    Attributes:
        home: the name of our module about the library. The module has `recognise(given)`, which takes what the library
            hands over (a model, a pipeline, a learner) and gives the model and a `ModelInfo`. If models can be loaded
            by name it has `create(name, pretrained=…)`, which gives the same two; if the library has tokenizers,
            `reader_of(tokenizer, model)`.
        package: the top-level package that the library's classes come from; empty if only names lead to it.
        subclasses: whether a user's class that derives from one of the library's counts as the library's.
        marks: attributes that together only models of this library have, also through a wrapper that hands their
            attributes on; none if there are none.
        scheme: the word before the colon in the name of a model, `timm` in `timm:resnet50`; empty if models cannot be
            loaded by name.
        wanted: what stands behind the colon, for messages; empty if nothing does.
        reads_files: whether what stands there may be a file, which could hold code: then `create` takes `trust_pickle`.
    """

    home: str
    package: str = ""
    subclasses: bool = False
    marks: tuple[str, ...] = ()
    scheme: str = ""
    wanted: str = "NAME"
    reads_files: bool = False

    @property
    def written(self) -> str:
        """How its models are named, for messages."""
        return f"{self.scheme}:{self.wanted}" if self.wanted else self.scheme

    def owns(self, given: Any) -> bool:
        """Whether an object comes from the library."""
        kinds = type(given).__mro__ if self.subclasses else type(given).__mro__[:1]
        # a mixin lends something to anybody's class: PEFT's, around any model, can be pushed to Hugging Face's hub
        own = bool(self.package) and any(
            _package(kind) == self.package and not kind.__name__.endswith("Mixin") for kind in kinds
        )
        return own or (bool(self.marks) and all(hasattr(given, mark) for mark in self.marks))

    def load(self) -> Any:
        """Import the module about the library."""
        return importlib.import_module(self.home)


LIBRARIES: list[Library] = [
    Library("camscope.libraries.demo", scheme="demo", wanted=""),
    Library("camscope.libraries.gapnet", scheme="gapnet", wanted=""),
    Library("camscope.libraries.timm", "timm", marks=("pretrained_cfg",), scheme="timm"),
    Library("camscope.libraries.torchvision", "torchvision", scheme="torchvision"),
    Library(
        "camscope.libraries.huggingface",
        "transformers",
        subclasses=True,
        marks=("name_or_path",),
        scheme="hf",
        wanted="NAME-OR-FOLDER",
    ),
    Library("camscope.libraries.fastai", "fastai", subclasses=True),
    Library("camscope.libraries.openclip", "open_clip"),
    Library(
        "camscope.libraries.ultralytics", "ultralytics", subclasses=True, marks=("model", "names", "stride")
    ),
    Library("camscope.libraries.onnx", marks=("onnx_proto",), scheme="onnx", wanted="FILE.onnx"),
    Library("camscope.libraries.jax_modules", "flax", subclasses=True),
    Library("camscope.libraries.jax_modules", "equinox", subclasses=True),
    Library(
        "camscope.libraries.keras",
        "keras",
        subclasses=True,
        scheme="keras",
        wanted="NAME-OR-FILE",
        reads_files=True,
    ),
]
"""All registered libraries, in the order in which they are asked."""


def register_library(library: Library) -> None:
    """Add a library; it is asked before those that were added earlier.

    Another package names it as an entry point of the group `camscope.libraries`, `NAME = "module:LIBRARY"`; see
    `camscope.plugins`.

    Args:
        library: see `Library`. It replaces a library with the same `home`.

    Raises:
        InputError: if another library has its scheme already.
    """
    taken = (other for other in LIBRARIES if library.scheme and other.scheme == library.scheme)
    if any(other.home != library.home for other in taken):
        raise InputError(f"There are already models named {library.scheme}:…; choose another scheme.")
    LIBRARIES[:] = [library, *(other for other in LIBRARIES if other.home != library.home)]


def libraries() -> list[Library]:
    """All libraries, those of other packages too, in the order in which they are asked."""
    load_plugins("camscope.libraries", Library, register_library)
    return LIBRARIES


def recognise(given: Any, wrapper: Any = None) -> tuple[Any, ModelInfo]:
    """The model in what a user hands over, and what is known of it.

    What the user put on it, as attributes `preprocessing`, `class_names` and `tokenizer`, comes before what its library
    says.

    Args:
        given: what the user hands over.
        wrapper: what was around it (DataParallel, say), on which the user may have put these attributes instead.
    """
    found = library_of(given)
    model, info = given, ModelInfo()
    if found is not None:
        model, info = found.load().recognise(given)
    reads_texts = found is None or info.texts is not None
    carriers = [one for one in (wrapper, given, model) if one is not None]
    # a pipeline has a tokenizer of its own, which its library has read
    tokenizer = _carried("tokenizer", carriers) if given is model and reads_texts else None
    return model, _as_carried(info, carriers, model, tokenizer)


def _carried(name: str, carriers: Sequence[Any]) -> Any:
    """What the user put on the first of several objects that has something of this name."""
    return next((found for one in carriers if (found := getattr(one, name, None)) is not None), None)


def _as_carried(info: ModelInfo, carriers: Sequence[Any], model: Any, tokenizer: Any) -> ModelInfo:
    """The info with what the user put on the wrapper, on the object that was handed over, or on the model in it."""
    preprocessing, names = _carried("preprocessing", carriers), _carried("class_names", carriers)
    if isinstance(preprocessing, Preprocessing):
        info = dataclasses.replace(info, preprocessing=preprocessing, note="")
    if isinstance(names, (list, tuple, np.ndarray)):
        info = dataclasses.replace(info, class_names=[str(name) for name in names])
    return info if tokenizer is None else dataclasses.replace(info, texts=text_reader(tokenizer, model))


def library_of(given: Any) -> Library | None:
    """The library that an object comes from."""
    # a class may be made of another library's: first ask the library whose package the class itself is in
    known = libraries()
    direct = (library for library in known if library.package == _package(type(given)))
    return next(direct, None) or next((library for library in known if library.owns(given)), None)


def text_reader(tokenizer: Any, model: Any) -> TextReader:
    """The text reader for a tokenizer: one of a library's, a vocabulary, or a function.

    Args:
        tokenizer: the tokenizer as the user gave it.
        model: the model that the texts are for; it may limit their length.

    Raises:
        InputError: if it is not a tokenizer.
    """
    for library in libraries():
        if library.subclasses and library.owns(tokenizer) and hasattr(home := library.load(), "reader_of"):
            reader: TextReader = home.reader_of(tokenizer, model)
            return reader
    return as_reader(tokenizer)


def sound_reader(extractor: Any, model: Any) -> SoundReader:
    """What makes a model's input of sounds by a feature extractor.

    Args:
        extractor: the feature extractor as the user gave it, in place of photos' preprocessing.
        model: a model that takes sounds.

    Raises:
        InputError: if it is none.
    """
    if not hasattr(extractor, "sampling_rate"):
        raise InputError(
            "This model takes sounds, so its preprocessing= is a feature extractor of Hugging Face "
            f"(AutoFeatureExtractor.from_pretrained(…)); got {extractor!r:.60}."
        )
    from camscope.libraries.huggingface import sound_reader_of

    return sound_reader_of(model, extractor)[0]


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]
