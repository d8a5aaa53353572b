"""The grid pointing game on the leaderboard's photos: one beside three others, whose truth needs no annotation."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image

import camscope
from benchmarks.photos import FOLDERS, photos
from camscope import metrics
from camscope.arrays import to_numpy
from camscope.inputs import images_of_batch
from camscope.models.batch import Batch
from camscope.trust.mosaics import GRIDS, joined

PARTS = 4


def share_in_mosaic(
    explainer: camscope.Explainer,
    image: Image.Image,
    methods: Sequence[str],
    packages: Sequence[str] = tuple(FOLDERS),
) -> tuple[camscope.Explanation, dict[str, float]]:
    """The share of each method's positive map that lies on the photo, in a 2×2 mosaic of it and three others.

    The map is of the photo's own top class. The others are photos of one thing each, of three other top classes; which
    quarter the photo is in is drawn by its pixels.

    Args:
        explainer: of the model.
        image: the photo.
        methods: whose maps are measured.
        packages: that the others are taken from.

    Returns:
        the photo by itself, explained; and the shares, NaN where a map is positive nowhere.
    """
    alone = explainer(image, methods="centre")
    own = _top(alone)
    parts = [x for _, x in _others(explainer, own, tuple(packages))]
    place = zlib.crc32(image.tobytes()) % PARTS
    given = explainer.prepare([image])
    parts.insert(place, np.asarray(given.batch.x))
    found = np.full(len(methods), np.nan)
    for small in (False, True):
        x = joined(np.concatenate(parts), GRIDS[PARTS], small=small)
        mosaic = dataclasses.replace(
            given,
            batch=Batch.of_usual(x, given.batch.space_axes),
            input_images=images_of_batch(x, given.preprocessing),
            of_photos=False,
        )
        try:
            e = explainer(mosaic, methods=list(methods), targets=own)
        except AssertionError:  # timm's, of a model that takes inputs of one size
            if small:
                raise
            continue
        named = {str(number): maps for number, maps in enumerate(e.raw.values())}
        measured = metrics.grid_pointing_game(named, [place], grid=GRIDS[PARTS])
        found = np.array([float(measured[name].squeeze()) for name in named])
        break
    return alone, dict(zip(methods, found.tolist(), strict=True))


def _others(
    explainer: camscope.Explainer, own: int, packages: tuple[str, ...]
) -> list[tuple[int, np.ndarray]]:
    """The first three photos of one thing, of three classes that are not this one."""
    by_class: dict[int, np.ndarray] = {}
    for number, x in _things(explainer, packages):
        if number != own:
            by_class.setdefault(number, x)
    return list(by_class.items())[: PARTS - 1]


@cache
def _things(explainer: camscope.Explainer, packages: tuple[str, ...]) -> list[tuple[int, np.ndarray]]:
    """The photos of one thing as the model takes them, each with its top class, the surest first."""
    found = []
    for photo in photos():
        if photo.kind == "object" and photo.package in packages:
            given = explainer.prepare([photo.image])
            e = explainer(given, methods="centre")
            found.append((float(np.asarray(e.probabilities).max()), _top(e), np.asarray(given.batch.x)))
    return [(number, x) for _, number, x in sorted(found, key=lambda one: -one[0])]


def _top(e: camscope.Explanation) -> int:
    return int(to_numpy(e.logits)[0].argmax())
