"""What a library says of one of its models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from camscope.arrays import Array
from camscope.images import Geometry, Photo, Preprocessing
from camscope.methods import Explained
from camscope.models.decoding import CaptionDecoder, OutputDecoder
from camscope.outputs import Task
from camscope.signals import SoundReader
from camscope.text import TextReader


@dataclass(frozen=True)
class Prepared:
    """Photos as a model takes them.

    Attributes:
        batch: the model's input, `batch channel height width`.
        pictures: each photo as the model sees it, at the input's size; or as it is, if there are geometries.
        geometries: how each picture's pixels map to the model's input; empty if they are as the model sees them.
        beside: further inputs, by keyword.
    """

    batch: Array
    pictures: Sequence[Image.Image]
    geometries: Sequence[Geometry] = ()
    beside: Mapping[str, Array] = field(default_factory=dict)


SAY_PREPROCESSING = (
    "Say it by preprocessing= (--preprocessing): 0-1, -1-1 or 0-255 for values in that range, imagenet, "
    "keras:resnet50, a FILE.json, or in Python a camscope.Preprocessing."
)
"""What to do where it is not known how a model's photos are prepared."""


@dataclass(frozen=True)
class PhotoInput:
    """The input that takes photos.

    Attributes:
        channels: how many it takes.
        size: its height and width in pixels; None if it takes any.
    """

    channels: int = 3
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class ModelInfo:
    """What a library says of one of its models.

    Attributes:
        preprocessing: how photos are prepared; None if that is not known.
        class_names: one per output; None if they are not known.
        name: the library's name for the model.
        note: what had to be presumed; empty if nothing had.
        of_weights: what is to be said of the file that the weights are from.
        task: what the outputs mean; None if the library does not say.
        decoder: how the model is called and its outputs are understood, if it is not a plain classifier.
        space: which axes of a tensor are space, if the library says so; the batch is 0.
        prepare: makes inputs from photos, if the library does that itself and no `Preprocessing` describes it.
        texts: turns texts into token numbers, for a model that reads texts.
        sounds: makes inputs from sounds, for a model that takes sounds.
        caption_decoder: makes the output decoder of a model that compares images with captions, from a tokenizer or
            None.
        keeps_sizes: whether photos keep their own sizes, so that the photos of a batch must have the same size.
        values: the lowest and highest value of a valid input, if no preprocessing says so.
        explained: whether a class is explained or, for a detector, an instance.
        untrained: whether its weights are known to be random.
        unprepared: why there is no preprocessing, for the message to a user who gives a photo.
        photo: what photos are prepared for, as far as the model says it.
    """

    preprocessing: Preprocessing | None = None
    class_names: Sequence[str] | None = None
    name: str | None = None
    note: str = ""
    of_weights: tuple[str, ...] = ()
    task: Task | None = None
    decoder: OutputDecoder | None = None
    space: tuple[int, ...] | None = None
    prepare: Callable[[Sequence[Photo]], Prepared] | None = None
    texts: TextReader | None = None
    sounds: SoundReader | None = None
    caption_decoder: Callable[[Any], CaptionDecoder] | None = None
    keeps_sizes: bool = False
    values: tuple[float, float] | None = None
    explained: Explained = "class"
    untrained: bool = False
    unprepared: str = ""
    photo: PhotoInput = PhotoInput()
