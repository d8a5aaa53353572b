"""timm: models by name, their preprocessing and class names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from camscope.errors import MissingExtraError, ModelError, nearest
from camscope.images import Preprocessing
from camscope.libraries.imagenet import imagenet_names
from camscope.libraries.info import ModelInfo


def recognise(model: Any) -> tuple[Any, ModelInfo]:
    """A timm model and its info."""
    timm = _timm()
    config = timm.data.resolve_model_data_config(model)
    name = (getattr(model, "pretrained_cfg", None) or {}).get("architecture")
    return model, ModelInfo(
        preprocessing=Preprocessing.from_timm(config),
        class_names=_class_names(model, name),
        name=f"timm:{name}" if name else None,
    )


def create(name: str, *, pretrained: bool) -> tuple[Any, ModelInfo]:
    """A model of timm's registry and its info.

    Args:
        name: timm's name of the model.
        pretrained: whether it has its published weights or is untrained.

    Raises:
        ModelError, MissingExtraError: see `build`.
    """
    return recognise(build(name, pretrained=pretrained))


def trainable(name: str, *, classes: int, pretrained: bool) -> tuple[Any, ModelInfo]:
    """A model of timm's registry with a new head, and its info.

    Args:
        name: timm's name of the model.
        classes: how many classes the head has.
        pretrained: whether all but the head has its published weights or is untrained.

    Raises:
        ModelError, MissingExtraError: see `build`.
    """
    return recognise(build(name, pretrained=pretrained, num_classes=classes))


def build(name: str, *, pretrained: bool, **options: Any) -> Any:
    """A model of timm's registry.

    Args:
        name: timm's name of the model.
        pretrained: whether it has its published weights or is untrained.
        options: of `timm.create_model`.

    Raises:
        ModelError: for an unknown name (with the nearest), or weights that cannot be fetched.
        MissingExtraError: if timm is not installed.
    """
    timm = _timm()
    if name not in timm.list_models(pretrained=False) and not timm.is_model(name.partition(".")[0]):
        raise ModelError(f"timm has no model {name!r}.{nearest(name, timm.list_models())}")
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:
        if not pretrained:
            raise ModelError(f"timm could not build {name!r}: {error}") from error
        raise ModelError(
            f"timm could not fetch the published weights of {name!r} ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no message'}). Offline, give a file: --weights FILE "
            "(weights=FILE in Python); or look at the untrained network with --weights random."
        ) from error


def _class_names(model: Any, name: str | None) -> Sequence[str] | None:
    """ImageNet's names, if the model's published weights are of ImageNet-1k and its head still has 1,000 outputs."""
    timm = _timm()
    config = getattr(model, "pretrained_cfg", None) or {}
    if name is None or config.get("num_classes") != 1000 or getattr(model, "num_classes", None) != 1000:
        return None
    return imagenet_names() if timm.data.infer_imagenet_subset(model) == "imagenet-1k" else None


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise MissingExtraError("timm models", "timm") from error
    return timm
