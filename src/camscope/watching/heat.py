"""From kept maps to heatmaps and overlays of the samples as the model sees them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from PIL import Image

from camscope import arrays, render
from camscope.arrays import resize, scaled
from camscope.errors import InputError, nearest
from camscope.watching.watched_samples import Samples

Shared: TypeAlias = Literal["map", "sample", "history"]
"""Which maps share a colour scale. `map`: each fills it by itself, so that places can be compared. `sample`: all maps
of a sample and target, so that it is seen when its evidence grew. `history`: all there are."""

_LEGIBLE = 192
"""The least side of a picture that people look at, in pixels."""


def heatmaps(
    maps: Float[np.ndarray, "step sample target *space"],
    samples: Samples,
    *,
    shared: Shared = "map",
    size: tuple[int, ...] | None = None,
) -> Float[np.ndarray, "step sample target *size"]:
    """Heatmaps in [0, 1]; where a map holds NaN or infinity it counts as zero.

    Args:
        maps: the raw maps.
        samples: tell whether evidence against counts as zero, and the size of the input.
        shared: which maps share a scale; see `Shared`.
        size: of the heatmaps; None takes that of the model's input.

    Raises:
        InputError: if `shared` is none of its words.
    """
    words = {"map": "map", "sample": "image", "history": "batch"}
    if shared not in words:
        raise InputError(
            f"scale={shared!r}: expected 'map' (each map fills the scale), 'sample' (all maps of a sample share one) "
            f"or 'history' (all maps share one).{nearest(str(shared), words)}"
        )
    shown = displayed(maps, samples)
    steps, count, targets, *space = shown.shape
    rows = np.moveaxis(shown, 0, 2).reshape(count * targets, steps, *space)
    large = resize(rows, samples.input_size if size is None else size)
    heat = np.asarray(scaled(large, words[shared]))  # type: ignore[arg-type]
    return np.moveaxis(heat.reshape(count, targets, *heat.shape[1:]), 2, 0)


def displayed(maps: Float[np.ndarray, "*axes"], samples: Samples) -> Float[np.ndarray, "*axes"]:
    """Raw maps with the formula's last ReLU, and zero where they are not finite."""
    return arrays.displayed(maps, rectified=samples.rectified)


def enlarged(picture: np.ndarray, least: int = _LEGIBLE) -> Image.Image:
    """A picture with sides of at least so many pixels: each of its own becomes a square of them.

    Args:
        picture: RGB, `height width 3`.
        least: the least side, in pixels.
    """
    image = Image.fromarray(picture)
    factor = max(1, -(-least // min(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def overlays(
    maps: Float[np.ndarray, "sample target *space"], samples: Samples, **style: object
) -> list[list[Image.Image]]:
    """The heatmaps of one look on the enlarged samples, by sample and target, each on its own scale.

    Args:
        maps: the raw maps.
        samples: the samples.
        style: options of `camscope.render.overlay`.

    Raises:
        InputError: if the samples are no pictures.
    """
    grounds = [enlarged(picture) for picture in pictures_of(samples)]
    heat = heatmaps(maps[None], samples, size=(grounds[0].height, grounds[0].width))[0]
    return [
        [render.overlay(ground, one, **style) for one in row]  # type: ignore[arg-type]
        for ground, row in zip(grounds, heat, strict=True)
    ]


def pictures_of(samples: Samples) -> np.ndarray:
    """The samples as pictures.

    Raises:
        InputError: if they are none.
    """
    if samples.pictures is None:
        raise InputError(
            "These samples are no pictures, so there is nothing to lay heatmaps on. The numbers are in history.maps, "
            "and history.curve_figure() shows how they settle."
        )
    return samples.pictures
