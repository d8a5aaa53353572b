"""Pictures of animals whose place is known: silhouettes on photos of grass, gravel and bricks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from skimage import data

from camscope.training import read_labelled


def pictures(
    animals: Sequence[str], each: int, *, side: int = 64, seed: int = 0
) -> Iterator[tuple[str, Image.Image, tuple[int, int, int, int]]]:
    """Animals of the sample set `silhouettes`, light on a dark ground.

    Args:
        animals: which, by name.
        each: how many of each.
        side: of the pictures, in pixels.
        seed: of sizes, places and grounds.

    Yields:
        The name, the grey picture, and the animal's box: left, top, right, bottom, in pixels.
    """
    labelled, rng = read_labelled("sample:silhouettes"), np.random.default_rng(seed)
    grounds = [data.grass(), data.gravel(), data.brick()]
    for animal in animals:
        for n in np.flatnonzero(labelled.labels == labelled.classes.index(animal))[
            :each
        ]:
            ground, (top, left) = (
                grounds[rng.integers(3)],
                rng.integers(0, 512 - side, 2),
            )
            picture = Image.fromarray(ground[top : top + side, left : left + side] // 2)
            extent = int(rng.integers(round(0.6 * side), round(0.85 * side)))
            shape = Image.fromarray(labelled.sources[n]).resize(
                (extent, extent), Image.Resampling.BICUBIC
            )
            x, y = rng.integers(0, side - extent + 1, 2).tolist()
            picture.paste(int(rng.integers(170, 256)), (x, y), mask=shape)
            inner = shape.point(lambda light: 255 * (light > 127)).getbbox() or (
                0,
                0,
                extent,
                extent,
            )
            yield (
                animal,
                picture,
                (x + inner[0], y + inner[1], x + inner[2], y + inner[3]),
            )
