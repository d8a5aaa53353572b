"""torchvision: models by name, the preprocessing and class names of their weights."""

from __future__ import annotations

import dataclasses
from typing import Any

from camscope.errors import MissingExtraError, ModelError, nearest
from camscope.images import IMAGENET, Preprocessing
from camscope.libraries import Known


def know(model: Any) -> tuple[Any, Known]:
    """A torchvision model does not carry its preprocessing; ImageNet's standard is presumed, and said."""
    return model, Known(
        preprocessing=dataclasses.replace(IMAGENET, source="ImageNet standard (presumed)"),
        note="torchvision models do not say how their images are prepared; ImageNet's standard was presumed "
        "(resize 256, crop 224). Pass preprocessing=weights.transforms() to change it.",
    )


def create(name: str, *, pretrained: bool) -> tuple[Any, Known]:
    """A model of torchvision's registry, with its default weights or without, and what is known of it.

    Raises:
        ModelError: for an unknown name (with the nearest), or weights that cannot be fetched.
        MissingExtraError: if torchvision is not installed.
    """
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError("torchvision models", "timm") from error
    classifiers = models.list_models(module=models)
    if name not in classifiers:
        raise ModelError(f"torchvision has no classifier {name!r}.{nearest(name, classifiers)}")
    weights = models.get_model_weights(name).DEFAULT
    known = Known(
        preprocessing=Preprocessing.from_torchvision(weights.transforms()),
        class_names=weights.meta.get("categories"),
        name=f"torchvision:{name}",
    )
    try:
        return models.get_model(name, weights=weights if pretrained else None), known
    except Exception as error:
        if not pretrained:
            raise ModelError(f"torchvision could not build {name!r}: {error}") from error
        raise ModelError(
            f"torchvision could not fetch the weights of {name!r} ({type(error).__name__}: {error}). Offline, give a "
            "file: --weights FILE (weights=FILE in Python); or look at the untrained network with --weights random."
        ) from error
