"""torchvision: models by name, with the preprocessing and the class names of their weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from camscope.errors import InputError, MissingExtraError, ModelError, nearest
from camscope.images import IMAGENET, Photo, Preprocessing
from camscope.libraries.heads import replace_head
from camscope.libraries.info import ModelInfo, Prepared
from camscope.libraries.network import kept_by_torch, no_weights, why_unreachable


def recognise(model: Any) -> tuple[Any, ModelInfo]:
    """A torchvision model and its info.

    Such a model does not say how photos are prepared, so a standard is presumed, and a note says so. Detectors resize
    and normalise by themselves: they get photos as they are.
    """
    kind = next(
        (k for base in type(model).__mro__ if (k := _kind(base.__module__)) in ("segmentation", "detection")),
        "",
    )
    if kind == "detection":
        from camscope.libraries.torchvision.detection import Detector

        return model, ModelInfo(
            decoder=Detector(model),
            prepare=_as_they_are,
            keeps_sizes=True,
            values=(0.0, 1.0),
            explained="instance",
        )
    if kind == "segmentation":
        return model, ModelInfo(
            preprocessing=dataclasses.replace(
                _SEGMENTATION, source="torchvision's for segmentation (presumed)"
            ),
            note="torchvision models do not say how their images are prepared; its own for segmentation was presumed "
            "(resized to 520², ImageNet's mean and standard deviation). Pass preprocessing=… to change it.",
        )
    return model, ModelInfo(
        preprocessing=dataclasses.replace(IMAGENET, source="ImageNet standard (presumed)"),
        note="torchvision models do not say how their images are prepared; ImageNet's standard was presumed "
        "(resize 256, crop 224). Pass preprocessing=weights.transforms() to change it.",
    )


def create(name: str, *, pretrained: bool, classes: int | None = None) -> tuple[Any, ModelInfo]:
    """A model of torchvision's registry and its info.

    Args:
        name: torchvision's name of the model.
        pretrained: whether it has its default weights or is untrained.
        classes: how many classes a new head has; None leaves that of the weights.

    Raises:
        ModelError: for an unknown name (with the nearest), or weights that cannot be fetched.
        MissingExtraError: if torchvision is not installed.
    """
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError("torchvision models", "timm") from error
    classifiers = models.list_models(module=models)
    others = [*models.list_models(module=models.segmentation), *models.list_models(module=models.detection)]
    if name not in classifiers and name not in others:
        raise ModelError(f"torchvision has no model {name!r}.{nearest(name, [*classifiers, *others])}")
    weights = models.get_model_weights(name).DEFAULT
    options: dict[str, Any] = {} if pretrained or name not in others else {"weights_backbone": None}
    if classes is not None and name in others:
        if pretrained:
            raise ModelError(
                f"torchvision:{name} is no classifier, and its heads are made anew only without its published weights: "
                "leave num_classes (--num-classes) out, or give weights that were trained so (--weights FILE)."
            )
        options["num_classes"] = classes
    if pretrained and not kept_by_torch(weights.url) and (reason := why_unreachable(weights.url)):
        raise no_weights(f"torchvision:{name}", reason)
    try:
        model = models.get_model(name, weights=weights if pretrained else None, **options)
    except Exception as error:
        if not pretrained:
            raise ModelError(f"torchvision could not build {name!r}: {error}") from error
        raise ModelError(
            f"torchvision could not fetch the weights of {name!r} ({type(error).__name__}: {error}). Offline, give a "
            "file: --weights FILE (weights=FILE in Python); or look at the untrained network with --weights random."
        ) from error
    if name in classifiers and hasattr(model, "aux_logits"):
        _as_published(model)
    if classes is not None and name in classifiers:
        replace_head(model, classes)
    info = recognise(model)[1]
    if name in classifiers:
        info = ModelInfo(preprocessing=Preprocessing.from_torchvision(weights.transforms()))
    names = weights.meta.get("categories") if classes is None else None
    return model, dataclasses.replace(info, class_names=names, name=f"torchvision:{name}")


def trainable(name: str, *, classes: int, pretrained: bool) -> tuple[Any, ModelInfo]:
    """A classifier of torchvision's registry with a new head, and its info.

    Args:
        name: torchvision's name of the model.
        classes: how many classes the head has.
        pretrained: whether all but the head has its default weights or is untrained.

    Raises:
        ModelError: see `create`; for a model that is no classifier.
        MissingExtraError: if torchvision is not installed.
    """
    model, info = create(name, pretrained=pretrained)
    if (
        info.preprocessing is None
        or info.decoder is not None
        or _kind(type(model).__module__) == "segmentation"
    ):
        raise ModelError(f"torchvision:{name} is no classifier, and only classifiers are trained here.")
    replace_head(model, classes)
    return model, info


def _as_published(model: Any) -> None:
    """Make Inception and GoogLeNet as they are with their published weights, which a training mostly begins with.

    Their auxiliary heads, for which they put out a tuple in training, are left out; their inputs are turned from
    ImageNet's mean and standard deviation to those that the weights were trained with.
    """
    model.aux_logits = False
    for auxiliary in ("AuxLogits", "aux1", "aux2"):
        if hasattr(model, auxiliary):
            setattr(model, auxiliary, None)
    model.transform_input = True


_SEGMENTATION = Preprocessing(input_size=(520, 520), resize=(520, 520), crop="squash")


def _kind(module: str) -> str:
    """The kind of model in a module's name: `detection` for `torchvision.models.detection.fcos`."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["torchvision", "models"] and len(parts) > 2 else ""


def _as_they_are(photos: Sequence[Photo]) -> Prepared:
    """Photos as values in [0, 1], at their own size, which must be the same for all."""
    pictures = [photo.pixels.convert("RGB") for photo in photos]
    sizes = {picture.size for picture in pictures}
    if len(sizes) > 1:
        raise InputError(
            f"A detector takes photos at their own size, and a batch has one: these are "
            f"{', '.join(f'{w}×{h}' for w, h in sorted(sizes))}. Give them one by one, or resized to one size."
        )
    pixels = np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in pictures])
    return Prepared(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), pictures)
