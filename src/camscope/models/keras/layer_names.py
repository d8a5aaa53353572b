"""The names of a model's layers, and what can be said of a layer before anything ran."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from camscope.models.runtime import Part

_KEEPING = (
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "Activation",
    "ReLU",
    "LeakyReLU",
    "PReLU",
    "ELU",
    "BatchNormalization",
    "GroupNormalization",
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Rescaling",
    "Normalization",
)
_POOLING = tuple(f"{kind}Pooling{axes}D" for kind in ("Average", "Max") for axes in (1, 2, 3))


def named_layers(model: Any) -> dict[str, Any]:
    """All layers inside of a model by name, and the operations of its functional graphs, such as `keras.ops.relu`.

    A layer inside another one is `outer/inner`: names themselves may hold dots, but no slash. Of two that would have
    one name the second gets `#2`. What runs once for each step of a sequence, the cell of an RNN, is left out.

    Args:
        model: a Keras model.
    """
    found: dict[str, Any] = {}
    seen = {id(model)}

    def walk(parent: Any, prefix: str) -> None:
        for child in _inside(parent):
            if id(child) in seen or isinstance(child, keras.layers.InputLayer):
                continue
            seen.add(id(child))
            name, count = prefix + child.name, 1
            while name in found:
                count += 1
                name = f"{prefix}{child.name}#{count}"
            found[name] = child
            walk(child, f"{name}/")

    walk(model, "")
    return found


def _inside(parent: Any) -> Iterator[Any]:
    """The layers and operations that a layer or a model is made of."""
    if isinstance(parent, keras.layers.RNN):
        return
    graph = getattr(parent, "_functional", None) or parent
    yield from getattr(graph, "operations", ())
    yield from getattr(parent, "_layers", ())


def part_of(name: str, layers: dict[str, Any]) -> Part:
    """What is known of a layer.

    Args:
        name: of the layer.
        layers: as `named_layers` gives them.
    """
    layer = layers[name]
    above = name.split("/")[:-1]
    outer = (layers["/".join(above[: depth + 1])] for depth in range(len(above)))
    pools = _is_one_of(layer, _POOLING)
    return Part(
        name,
        type(layer).__name__,
        outline=all(isinstance(one, keras.Model) for one in outer),
        keeps_axes=pools or _is_one_of(layer, _KEEPING),
        pools=pools,
    )


def _is_one_of(layer: Any, kinds: tuple[str, ...]) -> bool:
    return any(
        base.__name__ in kinds and base.__module__.startswith("keras.") for base in type(layer).__mro__
    )
