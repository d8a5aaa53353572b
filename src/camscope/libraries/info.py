"""What a library says of one of its models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from camscope.arrays import Array
from camscope.images import Photo, Preprocessing
from camscope.methods import Explained
from camscope.models.decoding import CaptionDecoder, OutputDecoder
from camscope.outputs import Task
from camscope.text import TextReader


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
class ModelInfo:
    """What a library says of one of its models.

    Attributes:
        preprocessing: how its photos are prepared, or None if that is not known.
        class_names: one per output, or None.
        name: what the library calls the model.
        note: what had to be presumed; empty if nothing.
        task: what the outputs mean, or None if the library does not say.
        decoder: how the model is called and what it puts out means, where it is no plain classifier.
        arrange: puts a tensor's axes as `batch channel *space`, where the library has them in another order.
        prepare: makes inputs of photos, where that is the library's own work and no `Preprocessing` says how.
        texts: how texts become token numbers, of a model that reads texts.
        caption_decoder: makes the decoder of a model that compares images with captions, given a tokenizer or None.
        keeps_sizes: whether photos keep their own sizes, so that those of a batch must be of one.
        values: what a tensor's values lie between, where no preprocessing tells.
        explained: what it is explained for: a class, or of a detector an instance, which has a place.
        unprepared: why there is no preprocessing although the library has one, for whoever gives a photo.
    """

    preprocessing: Preprocessing | None = None
    class_names: Sequence[str] | None = None
    name: str | None = None
    note: str = ""
    task: Task | None = None
    decoder: OutputDecoder | None = None
    arrange: Callable[[Any], Array] | None = None
    prepare: Callable[[Sequence[Photo]], Prepared] | None = None
    texts: TextReader | None = None
    caption_decoder: Callable[[Any], CaptionDecoder] | None = None
    keeps_sizes: bool = False
    values: tuple[float, float] | None = None
    explained: Explained = "class"
    unprepared: str = ""
