"""What is known of layers by their classes and names, before any number is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from camscope.models.runtime import Part

_LIBRARIES = ("flax", "equinox")
"""Where classes mean what their names say."""

_KEEP_AXES = ("Conv", "BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "Dropout", "PReLU")
"""How the names of classes begin whose output has the axes of space of what goes in."""

_POOLS = re.compile(r"(Max|Avg|Average|Mean)Pool(ing)?(\dd)?$", re.IGNORECASE)
"""What classes are called that only pool: Equinox has such, and people write them for Flax, which has functions."""

_CONTAINERS = ("Sequential",)
"""Classes that only hold layers."""


def parts_of(layers: Mapping[str, Any], sizes: Mapping[str, int]) -> list[Part]:
    """The layers as parts of a model.

    Args:
        layers: objects, or their classes, by name.
        sizes: how many numbers each weight of the model has, by name.
    """
    half = sum(sizes.values()) / 2
    closed = [
        name
        for name, layer in layers.items()
        if _kind(layer).__name__ not in _CONTAINERS and _size(name, sizes) <= half
    ]
    return [
        Part(
            name,
            _name(layer),
            outline=not any(_is_inside(name, other) for other in closed),
            keeps_axes=_keeps_axes(layer),
            pools=bool(_POOLS.search(_kind(layer).__name__)) and not _size(name, sizes),
        )
        for name, layer in layers.items()
    ]


def _kind(layer: Any) -> type:
    return layer if isinstance(layer, type) else type(layer)


def _name(layer: Any) -> str:
    """The name of its class; of a function its own."""
    return str(getattr(layer, "__name__", _kind(layer).__name__))


def _keeps_axes(layer: Any) -> bool:
    """Whether it is of such a class of a library, or of one that derives from it without another call."""
    for kind in _kind(layer).__mro__:
        if kind.__module__.partition(".")[0] in _LIBRARIES:
            return kind.__name__.startswith(_KEEP_AXES) or bool(_POOLS.search(kind.__name__))
        if "__call__" in vars(kind):
            return False
    return False


def _is_inside(name: str, other: str) -> bool:
    """Whether a name is of something inside of another layer: `blocks.0.conv`, `blocks/0/conv`, `blocks[0].conv`."""
    return name.startswith(other) and name[len(other) :][:1] in (".", "/", "[")


def _size(name: str, sizes: Mapping[str, int]) -> int:
    return sum(size for weight, size in sizes.items() if _is_inside(weight, name))
