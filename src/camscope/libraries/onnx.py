"""ONNX files: models by name, and what their metadata says of photos and classes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from camscope.errors import InputError, MissingExtraError, ModelError
from camscope.images import IMAGENET, Preprocessing
from camscope.libraries.info import ModelInfo, PhotoInput
from camscope.libraries.listed_names import listed_names, read_text
from camscope.outputs import Task

if TYPE_CHECKING:
    from camscope.models.onnx.image_input import ImageInput
    from camscope.models.onnx.onnx_model import OnnxModel

CLASS_NAMES = "camscope.class_names"
"""The key of class names in the metadata of a file that camscope wrote: a list, as JSON."""

PREPROCESSING = "camscope.preprocessing"
"""The key of its preprocessing: the fields of `camscope.Preprocessing`, as JSON."""


def create(name: str, *, pretrained: bool) -> tuple[OnnxModel, ModelInfo]:
    """The model in a file, and its info.

    Args:
        name: the path of an ONNX file.
        pretrained: must be True, since a file comes with its weights.

    Raises:
        MissingExtraError: if onnx or onnxruntime is not installed.
        ModelError: if there is no such file, or it cannot be explained.
    """
    try:
        import onnxruntime  # noqa: F401

        from camscope.models.onnx.onnx_model import read_model
    except ImportError as error:
        raise MissingExtraError("explaining ONNX models", "onnx") from error
    if not pretrained:
        raise ModelError(f"{name} comes with its weights; others cannot be put in: leave weights out.")
    model, info = recognise(read_model(Path(name)))
    return model, replace(_presumed(model, info), name=f"onnx:{Path(name).name}")


def recognise(model: OnnxModel) -> tuple[OnnxModel, ModelInfo]:
    """A model and what its graph and its metadata say of it."""
    from camscope.models.onnx.image_input import image_input

    said = {entry.key: entry.value for entry in model.onnx_proto.metadata_props}
    image = image_input(model)
    info = ModelInfo(class_names=_class_names(said), task=_task(said))
    if image is None:
        return model, replace(info, unprepared=f"{model.name} takes no photos")
    info = replace(
        info,
        space=(1, 2) if image.channels_last else None,
        photo=PhotoInput(image.channels, image.size),
    )
    preprocessing = _preprocessing(said, image)
    if preprocessing is not None:
        return model, replace(info, preprocessing=preprocessing)
    return model, info


def _task(said: Mapping[str, str]) -> Task | None:
    """What the logits mean, as `camscope export` writes it; None if that is not said."""
    task = said.get("camscope.task")
    return cast(Task, task) if task in get_args(Task) else None


def _presumed(model: OnnxModel, info: ModelInfo) -> ModelInfo:
    """The info with a usual preprocessing, and a note, where nothing is known: ImageNet's, or for bytes none at all."""
    from camscope.models.onnx.image_input import image_input

    image = image_input(model)
    if info.preprocessing is not None or image is None:
        return info
    of_bytes = image.dtype == np.uint8
    if image.channels != 3 or not (of_bytes or image.dtype.kind == "f"):
        kind = "" if image.dtype.kind == "f" else f" of {image.dtype}"
        why = f"{model.name} takes {image.channels} channels{kind}, and does not say how photos become them"
        return replace(info, unprepared=why)
    size = image.size or (224, 224)
    presumed = replace(
        IMAGENET,
        input_size=size,
        resize=round(min(size) * 256 / 224),
        source="ImageNet standard (presumed)",
    )
    values = "its mean and std"
    if of_bytes:
        presumed = replace(presumed, mean=(0.0,) * 3, std=(1 / 255,) * 3)
        values = "but the bytes as they are, red first, since the input is uint8"
    note = (
        f"{model.name} does not say how its photos are prepared; ImageNet's standard was presumed (resize "
        f"{presumed.resize}, crop {size[0]}×{size[1]}, {values}). preprocessing=… (--preprocessing) changes it."
    )
    return replace(info, preprocessing=presumed, note=note)


def _preprocessing(said: Mapping[str, str], image: ImageInput) -> Preprocessing | None:
    """What the metadata says of how photos are prepared; None if nothing.

    Raises:
        ModelError: if it says something that cannot be read.
    """
    if PREPROCESSING in said:
        try:
            return Preprocessing.from_dict(json.loads(said[PREPROCESSING]))
        except (ValueError, InputError) as error:
            raise ModelError(
                f"The metadata {PREPROCESSING!r} of the model cannot be read: {error}. It is the JSON of "
                "Preprocessing(…).to_dict(); pass Explainer(…, preprocessing=…) to go by something else."
            ) from error
    if said.get("author") == "Ultralytics" and said.get("task") == "classify":
        size = image.size or (224, 224)
        return Preprocessing(size, min(size), mean=(0.0,) * 3, std=(1.0,) * 3, source="Ultralytics")
    return None


def _class_names(said: Mapping[str, str]) -> Sequence[str] | None:
    """The class names in the metadata; None if there are none.

    camscope's own come first, then Ultralytics' and Hugging Face's dictionaries by number, then RapidOCR's lines.
    """
    return next((names for names in _names(said) if names), None)


def _names(said: Mapping[str, str]) -> Iterator[list[str]]:
    for key in (CLASS_NAMES, "names", "id2label", "class_names", "classes", "labels"):
        if key in said:
            yield listed_names(read_text(said[key]))
    if "character" in said:
        yield said["character"].split("\n")
