"""What is special to one library of models, one file each, importable without the others."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from camscope.arrays import Array
from camscope.images import Photo, Preprocessing
from camscope.models.reading import Captioned, Reading
from camscope.targets import Task
from camscope.text import TextReader, as_reader


@dataclass(frozen=True)
class Prepared:
    """Photos as a model takes them.

    Attributes:
        batch: the model's input, `batch channel height width`.
        pictures: each as the model sees it, of the input's size.
    """

    batch: Array
    pictures: Sequence[Image.Image]


@dataclass(frozen=True)
class Known:
    """What a library says of one of its models.

    Attributes:
        preprocessing: how its photos are prepared, or None if that is not known.
        class_names: one per output, or None.
        name: what the library calls the model.
        note: what had to be presumed; empty if nothing.
        task: what the outputs mean, or None if the library does not say.
        reading: how the model is called and read, where it is no plain classifier.
        arrange: puts a tensor's axes as `batch channel *space`, where the library has them in another order.
        prepare: makes inputs of photos, where that is the library's own work and no `Preprocessing` says how.
        texts: how texts become token numbers, of a model that reads texts.
        captioned: makes the reading of a model that compares images with captions, given a tokenizer or None.
        keeps_sizes: whether photos keep their own sizes, so that those of a batch must be of one.
        values: what a tensor's values lie between, where no preprocessing tells.
        default_method: what explains it best where no method is asked for. What a detector finds is at one place, which
            the channel means of Grad-CAM know nothing of: ODAM is HiResCAM.
        unprepared: why there is no preprocessing although the library has one, for whoever gives a photo.
    """

    preprocessing: Preprocessing | None = None
    class_names: Sequence[str] | None = None
    name: str | None = None
    note: str = ""
    task: Task | None = None
    reading: Reading | None = None
    arrange: Callable[[Any], Array] | None = None
    prepare: Callable[[Sequence[Photo]], Prepared] | None = None
    texts: TextReader | None = None
    captioned: Callable[[Any], Captioned] | None = None
    keeps_sizes: bool = False
    values: tuple[float, float] | None = None
    default_method: str = "gradcam"
    unprepared: str = ""


_HOMES = {
    "timm": "timm",
    "torchvision": "torchvision",
    "transformers": "huggingface",
    "fastai": "fastai",
    "open_clip": "openclip",
}
"""Which file knows the models (learners, pipelines) that come from a package."""


def text_reader(tokenizer: Any, model: Any) -> TextReader:
    """How a model's texts are read by a tokenizer: one of Hugging Face's, a vocabulary, or a function.

    Raises:
        InputError: for anything else.
    """
    if any(kind.__module__.partition(".")[0] == "transformers" for kind in type(tokenizer).__mro__):
        from camscope.libraries.huggingface_text import reader_of

        return reader_of(tokenizer, model)
    return as_reader(tokenizer)


def recognise(given: Any) -> tuple[Any, Known]:
    """The model in what a user hands over, and what the library it comes from says of it.

    Your own model may carry `preprocessing`, `tokenizer` and `class_names`.
    """
    home = type(given).__module__.partition(".")[0]
    if home not in _HOMES:
        # a class of your own that is made of a library's: those whose models say what they are
        bases = {kind.__module__.partition(".")[0] for kind in type(given).__mro__}
        home = next((name for name in ("transformers", "fastai") if name in bases), home)
        home = "timm" if hasattr(given, "pretrained_cfg") else home
    if home in _HOMES:
        library = importlib.import_module(f"camscope.libraries.{_HOMES[home]}")
        found: tuple[Any, Known] = library.know(given)
        return found
    own = getattr(given, "preprocessing", None)
    names = getattr(given, "class_names", None)
    tokenizer = getattr(given, "tokenizer", None)
    return given, Known(
        texts=None if tokenizer is None else text_reader(tokenizer, given),
        preprocessing=own if isinstance(own, Preprocessing) else None,
        class_names=list(names) if isinstance(names, (list, tuple)) else None,
    )
