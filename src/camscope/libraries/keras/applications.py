"""How photos are prepared for the models of keras.applications, by their families; and for others, if they say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from camscope.images import Preprocessing
from camscope.libraries.imagenet import imagenet_names
from camscope.libraries.info import PhotoInput
from camscope.libraries.keras.first_layers import resized_to, scales_bytes

_CAFFE = {
    "mean": (103.939 / 255, 116.779 / 255, 123.68 / 255),
    "std": (1 / 255, 1 / 255, 1 / 255),
    "bgr": True,
}
_TORCH = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_TF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
_BYTES = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}

FAMILIES: dict[str, dict[str, Any]] = {
    "resnet50v2": _TF,
    "resnet101v2": _TF,
    "resnet152v2": _TF,
    "resnet50": _CAFFE,
    "resnet101": _CAFFE,
    "resnet152": _CAFFE,
    "vgg16": _CAFFE,
    "vgg19": _CAFFE,
    "densenet": _TORCH,
    "inception": _TF,
    "xception": _TF,
    "nasnet": _TF,
    "mobilenetv3": _BYTES,
    "mobilenetv2": _TF,
    "mobilenet": _TF,
    "efficientnet": _BYTES,
    "convnext": _BYTES,
}
"""By how a model's name begins, what its module's `preprocess_input` does. `_BYTES`: the model does it."""


@dataclass(frozen=True)
class Preparation:
    """What is known of a model's photos and classes.

    Attributes:
        preprocessing: how photos are prepared; None if that is not known.
        why_not: why it is not.
        note: what was presumed.
        class_names: of its outputs, if these are ImageNet's.
        photo: what the model takes.
    """

    preprocessing: Preprocessing | None = None
    why_not: str = ""
    note: str = ""
    class_names: Sequence[str] | None = None
    photo: PhotoInput = field(default_factory=PhotoInput)


def family_of(name: str) -> str:
    """How the name of a model of keras.applications begins; empty if it is none."""
    plain = name.lower().replace("_", "")
    return next((family for family in FAMILIES if plain.startswith(family)), "")


def preparation(model: Any) -> Preparation:
    """What can be known of a model's photos: by its name, or by first layers that scale them.

    Args:
        model: a Keras model.
    """
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        return Preparation(why_not="Keras models do not say it")
    family, scales = family_of(model.name), scales_bytes(model)
    channels, *sides = _channels_and_size(model, shapes[0])
    size = resized_to(model) if None in sides else (int(sides[0]), int(sides[1]))
    photo = PhotoInput(channels or 3, size)
    if family and FAMILIES[family] is not _BYTES and scales:
        family = ""  # its name alone: the model has been given a layer that prepares
    if not (family or scales) or channels not in (1, 3) or (family and channels != 3):
        return Preparation(why_not=_why_not(model), photo=photo)
    if size is None and not family:
        why_not = (
            "it takes photos of any size with values up to 255, so that the size is to be said: 0-255@224"
        )
        return Preparation(why_not=why_not, photo=photo)
    side = 331 if family == "nasnet" else 299 if "ception" in family else 224
    height, width = size or (side, side)
    values = FAMILIES[family] if family else {key: value[:channels] for key, value in _BYTES.items()}
    source = f"keras.applications ({family})" if family else "its first layer, which scales values up to 255"
    return Preparation(
        Preprocessing(
            input_size=(height, width), resize=(height, width), crop="squash", source=source, **values
        ),
        note=f"Keras models do not say how photos are resized; the whole photo was made {height}×{width}, as in the "
        "examples of keras.applications. Pass preprocessing=… to change it.",
        class_names=_class_names(model) if family else None,
        photo=photo,
    )


def _channels_and_size(model: Any, shape: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    from camscope.libraries.keras.axes_of_space import space_axes

    _, *rest = shape
    return (rest[2], rest[0], rest[1]) if space_axes(model) else (rest[0], rest[1], rest[2])


def _class_names(model: Any) -> Sequence[str] | None:
    shape = getattr(model, "output_shape", None)
    return imagenet_names() if shape and tuple(shape)[1:] == (1000,) else None


def _why_not(model: Any) -> str:
    inner = next((layer for layer in getattr(model, "layers", ()) if family_of(layer.name)), None)
    inside = (
        f"; {inner.name!r} inside it is made for keras.applications' preprocess_input, unless the model does it"
        if inner is not None
        else ""
    )
    return f"neither its name ({model.name!r}) nor a first layer (Rescaling, Normalization, a division) tells{inside}"
