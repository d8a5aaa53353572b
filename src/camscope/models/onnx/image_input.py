"""Which input of a model takes photos, and how: where its channels are, and of which size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from camscope.errors import ModelError
from camscope.models.onnx.cutting import up_to
from camscope.models.onnx.declared_inputs import DeclaredInput, declared_inputs
from camscope.models.onnx.onnx_graph import OnnxGraph
from camscope.models.onnx.onnx_model import OnnxModel
from camscope.models.onnx.sessions import Sessions

CHANNELS = (3, 1, 4)
"""Of a photo, the likeliest first."""

_SIZE = 224
"""What is tried where a graph takes any size."""


@dataclass(frozen=True)
class ImageInput:
    """How a model takes photos.

    Attributes:
        name: of the input.
        channels: how many it takes.
        channels_last: whether they are behind height and width.
        size: height and width, if they are fixed.
        dtype: of its numbers.
    """

    name: str
    channels: int
    channels_last: bool
    size: tuple[int, int] | None
    dtype: np.dtype


def image_input(model: OnnxModel) -> ImageInput | None:
    """The first input that takes photos; None if there is none.

    Where its declared shape leaves several ways open, the graph is run on each, and takes its own.

    Args:
        model: the model.
    """
    graph = OnnxGraph(model)
    inputs = declared_inputs(graph)
    image = next(
        (one for one in inputs.values() if one.dtype.kind in "fiu" and one.shape and len(one.shape) == 4),
        None,
    )
    if image is None:
        return None
    ways = list(_ways(image))
    if len(ways) > 1 and len(inputs) == 1:
        ways = [way for way in ways if _runs(graph, image, way)] or ways
    return ways[0] if ways else None


def _ways(image: DeclaredInput) -> Iterator[ImageInput]:
    """How photos could be given, by the declared shape."""
    assert image.shape is not None
    for channels in CHANNELS:
        for last in (False, True):
            of_each = image.shape[1:]
            declared, space = (of_each[2], of_each[:2]) if last else (of_each[0], of_each[1:])
            if declared in (None, channels):
                height, width = space
                size = None if height is None or width is None else (height, width)
                yield ImageInput(image.name, channels, last, size, image.dtype)


def _runs(graph: OnnxGraph, image: DeclaredInput, way: ImageInput) -> bool:
    height, width = way.size or (_SIZE, _SIZE)
    shape = (height, width, way.channels) if way.channels_last else (way.channels, height, width)
    x = np.random.default_rng(0).standard_normal((image.batch or 1, *shape)).astype(image.dtype)
    try:
        session = Sessions(graph.model).of("ways", lambda: up_to(graph, graph.outputs))
        session.run(None, {image.name: x})
    except ModelError:
        raise
    except Exception:  # its errors share no base but this; that it does not run is what was asked
        return False
    return True
