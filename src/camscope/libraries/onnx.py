"""ONNX files: models by name, and what their metadata says of photos and classes."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from camscope.errors import InputError, MissingExtraError, ModelError
from camscope.images import IMAGENET, Preprocessing
from camscope.libraries.info import ModelInfo
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
    info = replace(info, space=(1, 2) if image.channels_last else None)
    preprocessing = _preprocessing(said, image)
    if preprocessing is not None:
        return model, replace(info, preprocessing=preprocessing)
    return model, info


def _task(said: Mapping[str, str]) -> Task | None:
    """What the logits mean, as `camscope export` writes it; None if that is not said."""
    task = said.get("camscope.task")
    return cast(Task, task) if task in get_args(Task) else None


def _presumed(model: OnnxModel, info: ModelInfo) -> ModelInfo:
    """The info with ImageNet's preprocessing, and a note, where nothing is known of photos in colour."""
    from camscope.models.onnx.image_input import image_input

    image = image_input(model)
    if info.preprocessing is not None or image is None:
        return info
    if image.channels != 3:
        why = f"{model.name} takes {image.channels} channels, and does not say how photos become them"
        return replace(info, unprepared=why)
    size = image.size or (224, 224)
    presumed = replace(
        IMAGENET,
        input_size=size,
        resize=round(min(size) * 256 / 224),
        source="ImageNet standard (presumed)",
    )
    note = (
        f"{model.name} does not say how its photos are prepared; ImageNet's standard was presumed (resize "
        f"{presumed.resize}, crop {size[0]}×{size[1]}, its mean and std). Pass Explainer(…, preprocessing=…)."
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
        except (ValueError, TypeError, AttributeError, InputError) as error:
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
            yield _listed(_read(said[key]))
    if "character" in said:
        yield said["character"].split("\n")


def _listed(value: Any) -> list[str]:
    """A list of names, or names by number from 0 on; empty if it is neither."""
    if isinstance(value, Mapping):
        numbered = {str(key): name for key, name in value.items()}
        value = [numbered.get(str(number)) for number in range(len(numbered))]
    whole = isinstance(value, (list, tuple)) and all(isinstance(one, (str, int)) for one in value)
    return [str(one) for one in value] if whole else []


def _read(text: str) -> Any:
    """JSON, or a dictionary as Python writes it; else its lines."""
    for reader in (json.loads, ast.literal_eval):
        try:
            return reader(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return text.split("\n")
