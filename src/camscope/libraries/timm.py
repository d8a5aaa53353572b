"""timm: models by name, their preprocessing and class names."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camscope.errors import MissingExtraError, ModelError, nearest
from camscope.images import Preprocessing
from camscope.libraries.imagenet import imagenet_names
from camscope.libraries.info import ModelInfo
from camscope.libraries.network import (
    anything_fetched,
    cached_from_hub,
    hub_unreachable,
    kept_by_torch,
    no_weights,
    why_unreachable,
)


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


def create(name: str, *, pretrained: bool, classes: int | None = None) -> tuple[Any, ModelInfo]:
    """A model of timm's registry and its info.

    Args:
        name: timm's name of the model.
        pretrained: whether it has its published weights or is untrained.
        classes: how many classes a new head has; None leaves the published one.

    Raises:
        ModelError, MissingExtraError: see `build`.
    """
    options = {} if classes is None else {"num_classes": classes}
    return recognise(build(name, pretrained=pretrained, **options))


def trainable(name: str, *, classes: int, pretrained: bool) -> tuple[Any, ModelInfo]:
    """A model of timm's registry with a new head, and its info.

    Args:
        name: timm's name of the model.
        classes: how many classes the head has.
        pretrained: whether all but the head has its published weights or is untrained.

    Raises:
        ModelError, MissingExtraError: see `build`.
    """
    return create(name, pretrained=pretrained, classes=classes)


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
    if pretrained and "timm" not in sys.modules:
        _refuse_without_network(name)
    timm = _timm()
    if name not in timm.list_models(pretrained=False) and not timm.is_model(name.partition(".")[0]):
        raise ModelError(f"timm has no model {name!r}.{nearest(name, timm.list_models())}")
    if pretrained:
        options |= _fetched_before(timm, name)
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


def _refuse_without_network(name: str) -> None:
    """Refuse a model before timm is imported, which takes seconds, if its weights cannot come from anywhere.

    Raises:
        ModelError: if there is no network, nothing was ever fetched, and timm's code has a function of this name.
    """
    found = importlib.util.find_spec("timm")
    if found is None or anything_fetched() or not (reason := hub_unreachable()):
        return
    written = re.compile(rf"^def {re.escape(name.partition('.')[0])}\(", re.MULTILINE)
    homes = (Path(home) / "models" for home in found.submodule_search_locations or ())
    if any(written.search(file.read_text("utf-8")) for home in homes for file in home.glob("*.py")):
        raise no_weights(f"timm:{name}", reason)


def _fetched_before(timm: Any, name: str) -> dict[str, Any]:
    """What makes timm take published weights from where they were kept, where there is no network.

    Raises:
        ModelError: if there is no network and they were never fetched.
    """
    config = timm.models.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        return {}
    if not config.hf_hub_id:
        kept: object = kept_by_torch(config.url)
        reason = "" if kept else why_unreachable(config.url)
    else:
        named = (config.hf_hub_filename,) if config.hf_hub_filename else ()
        reason = hub_unreachable()
        kept = cached_from_hub(config.hf_hub_id, *named, *_NAMES) if reason else None
    if reason and kept is None:
        raise no_weights(f"timm:{name}", reason)
    return {"pretrained_cfg_overlay": {"file": str(kept)}} if reason else {}


_NAMES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""How weights are called on the hub, where timm does not say it."""


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
