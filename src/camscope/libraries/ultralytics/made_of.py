"""What a model of ultralytics' is made of: a numbered sequence of modules, each naming those that it reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from camscope.errors import ModelError
from camscope.images import Preprocessing
from camscope.libraries.info import ModelInfo, PhotoInput
from camscope.libraries.ultralytics.candidates import Candidates, Plan
from camscope.libraries.ultralytics.class_scores import ClassScores

_SIZE = 640
"""The side of a detector's input, where the model does not say one."""

_CLASSIFIER_SIZE = 224
"""That of a classifier's."""

_GREY = 114 / 255
"""The light of what is beside the photo in a detector's input."""


def recognise(given: Any) -> tuple[Any, ModelInfo]:
    """The network and its info, from a `YOLO` object (or `RTDETR`) or from the network inside of it.

    Args:
        given: either; or anything else that has attributes of the same names, of which nothing is said.

    Raises:
        ModelError: for a model that the package runs by another framework, or that has another structure (SAM).
    """
    net = network_in(given)
    if net is None:
        if type(given).__module__.partition(".")[0] == "ultralytics":
            raise ModelError(_unlike(given))
        return given, ModelInfo()
    head = net.model[-1]
    info = ModelInfo(class_names=_names(getattr(net, "names", None)), name=_name(given, net))
    if not any(isinstance(part, nn.ModuleList) for part in head.children()):
        size = _size(given, net) or (_CLASSIFIER_SIZE,) * 2
        prepared = Preprocessing(size, resize=size[0], mean=(0.0,) * 3, std=(1.0,) * 3, source="ultralytics")
        return net, _for_photos(dataclasses.replace(info, decoder=ClassScores()), net, prepared)
    size = _size(given, net) or (_SIZE,) * 2
    prepared = Preprocessing(
        size, resize=size, crop="border", mean=(0.0,) * 3, std=(1.0,) * 3, fill=_GREY, source="ultralytics"
    )
    detecting = dataclasses.replace(info, decoder=Candidates(plan_of(net)), explained="instance")
    return net, _for_photos(detecting, net, prepared)


def network_in(given: Any) -> Any:
    """The module that runs a numbered sequence, in a `YOLO` object or by itself; None if there is none."""
    for one in (given, getattr(given, "model", None)):
        parts = getattr(one, "model", None)
        if not isinstance(one, nn.Module) or not isinstance(parts, nn.Sequential):
            continue
        if len(parts) > 1 and all(hasattr(part, "f") for part in parts):
            return one
    return None


def plan_of(net: Any) -> Plan:
    """Where in a detector the backbone, the pyramid and the head are.

    The backbone is what comes before the first layer that enlarges. Its stages are those of its layers that the rest of
    the network reads.

    Args:
        net: as `network_in` gives it.
    """
    parts: Sequence[Any] = list(net.model)
    reads = [_read_by(part, number) for number, part in enumerate(parts)]
    head = len(parts) - 1
    enlarges = (i for i, part in enumerate(parts) if isinstance(part, (nn.Upsample, nn.ConvTranspose2d)))
    neck = next(enlarges, head)
    stages = sorted({source for some in reads[neck:] for source in some if 0 <= source < neck})
    return Plan(
        head=f"model.{head}",
        levels=tuple(f"model.{source}" for source in reads[head]),
        backbone=tuple(f"model.{i}" for i in range(neck)),
        stages=tuple(f"model.{source}" for source in stages),
        stride=int(max(map(float, getattr(net, "stride", (1,))))),
    )


def _read_by(part: Any, number: int) -> list[int]:
    """The numbers of the modules whose outputs one reads; −1 stands for the input of the network."""
    sources = part.f if isinstance(part.f, (list, tuple)) else [part.f]
    return [number + source if source < 0 else source for source in sources]


def _unlike(given: Any) -> str:
    """What to say of a model of the package that has no numbered sequence."""
    kind = type(given).__name__
    inside = getattr(given, "model", None)
    if isinstance(inside, (str, Path)):
        if str(inside).endswith(".onnx"):
            return f"This {kind} runs {inside} by ONNX Runtime: explain that file, --model onnx:{inside}."
        return (
            f"This {kind} runs the exported {inside}. Give the one that it was exported from: YOLO('….pt')."
        )
    return (
        f"This {kind} holds a {type(inside).__name__}, which is not a sequence of modules with a head for boxes or "
        "classes. YOLO (detect, segment, pose, obb, classify) and RT-DETR can be explained."
    )


def _for_photos(info: ModelInfo, net: Any, prepared: Preprocessing) -> ModelInfo:
    """The info with the preprocessing, if the network takes colour photos."""
    channels = next((p.shape[1] for p in net.parameters() if p.ndim == 4), 3)
    if channels == 3:
        return dataclasses.replace(info, preprocessing=prepared)
    return dataclasses.replace(
        info,
        unprepared=f"the network takes {channels} channels",
        photo=PhotoInput(channels, prepared.input_size),
    )


def _size(given: Any, net: Any) -> tuple[int, int] | None:
    """The (height, width) that the model was trained at or is set to; None if it does not say."""
    for told in (getattr(given, "overrides", None), getattr(net, "args", None)):
        size = told.get("imgsz") if isinstance(told, Mapping) else getattr(told, "imgsz", None)
        if isinstance(size, (list, tuple)) and len(size) == 2:
            return int(size[0]), int(size[1])
        if isinstance(size, int):
            return size, size
    return None


def _names(names: Any) -> list[str] | None:
    """The class names, which are a list or a dictionary by number."""
    if isinstance(names, Mapping):
        names = [names[number] for number in sorted(names)]
    return [str(name) for name in names] if isinstance(names, (list, tuple)) and names else None


def _name(given: Any, net: Any) -> str | None:
    """The name of the file that the model came from."""
    described = getattr(net, "yaml", None)
    file = getattr(given, "ckpt_path", None) or (
        described.get("yaml_file") if isinstance(described, Mapping) else None
    )
    return Path(file).stem if isinstance(file, (str, Path)) and str(file) else None
