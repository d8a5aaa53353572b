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


def scenes(
    animals: Sequence[str], *, size: tuple[int, int] = (96, 160), seed: int = 0
) -> Iterator[tuple[Image.Image, list[str], list[tuple[int, int, int, int]]]]:
    """Pictures of several animals, light or dark, of which none hides much of another; without end.

    Args:
        animals: which, by name.
        size: of the pictures, (height, width) in pixels.
        seed: of everything that is drawn.

    Yields:
        The grey picture, the animals in it by name, and the box of each: left, top, right, bottom, in pixels.
    """
    labelled, rng = read_labelled("sample:silhouettes"), np.random.default_rng(seed)
    of = {
        a: np.flatnonzero(labelled.labels == labelled.classes.index(a)) for a in animals
    }
    grounds = [data.grass(), data.gravel(), data.brick()]
    height, width = size
    while True:
        ground = grounds[rng.integers(3)]
        top, left = rng.integers(0, 512 - height), rng.integers(0, 512 - width)
        light = ground[top : top + height, left : left + width].astype(float)
        picture = Image.fromarray((0.6 * light + 50).astype(np.uint8))
        names: list[str] = []
        boxes: list[tuple[int, int, int, int]] = []
        for _ in range(rng.integers(2, 5)):
            animal = str(rng.choice(list(animals)))
            shape = Image.fromarray(labelled.sources[rng.choice(of[animal])])
            shape = shape.crop(shape.point(lambda value: 255 * (value > 127)).getbbox())
            scale = rng.uniform(0.3, 0.75) * height / max(shape.size)
            across, down = (max(8, round(scale * side)) for side in shape.size)
            x, y = (
                int(rng.integers(0, width - across + 1)),
                int(rng.integers(0, height - down + 1)),
            )
            box = (x, y, x + across, y + down)
            if any(_meet(box, other) for other in boxes):
                continue
            colour = int(
                rng.integers(200, 256) if rng.random() < 0.5 else rng.integers(0, 40)
            )
            picture.paste(
                colour, box, mask=shape.resize((across, down), Image.Resampling.BICUBIC)
            )
            names.append(animal)
            boxes.append(box)
        yield picture, names, boxes


def _meet(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    """Whether two boxes have pixels in common."""
    return max(one[0], other[0]) < min(one[2], other[2]) and max(
        one[1], other[1]
    ) < min(one[3], other[3])
