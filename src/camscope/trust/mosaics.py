"""Mosaics of a user's own photos, which give the truth of where a class is without any annotation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int

from camscope.arrays import Array, area_shares

GRIDS = {4: (2, 2), 2: (1, 2)}
"""How many parts there are along each axis, by the number of photos in a mosaic."""


def dealt(
    classes: Int[np.ndarray, " image"], confidence: Float[np.ndarray, " image"], parts: int, seed: int = 0
) -> Int[np.ndarray, "mosaic part"]:
    """The numbers of the images of each mosaic: of different classes, the most confident first, each image once.

    The classes of which most images are left come first, so that there are as many mosaics as there can be; which
    photo is in which part is drawn.

    Args:
        classes: the top class of each image; below 0 for one that is left out.
        confidence: the probability of it.
        parts: how many photos a mosaic has.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    left = {
        int(one): sorted(np.flatnonzero(classes == one), key=lambda image: confidence[image])
        for one in np.unique(classes[classes >= 0])
    }
    found = []
    while sum(bool(images) for images in left.values()) >= parts:
        fullest = sorted(left, key=lambda one: (-len(left[one]), one))[:parts]
        found.append(random.permutation([left[one].pop() for one in fullest]))
    return np.array(found, np.int64).reshape(-1, parts)


def joined(
    x: Float[Array, "photo channel height width"], grid: Sequence[int], *, small: bool
) -> Float[Array, "mosaic channel _ _"]:
    """Photos put together in the model's own input space, those of a mosaic one after another, row by row.

    Args:
        x: the photos as the model takes them.
        grid: how many parts there are along each axis.
        small: whether a mosaic has the size of one photo; else each photo keeps its own.
    """
    xp = array_namespace(x)
    rows, columns = grid
    photos, channels, height, width = x.shape
    parted = xp.reshape(x, (photos // (rows * columns), rows, columns, channels, height, width))
    mosaics = xp.reshape(
        xp.permute_dims(parted, (0, 3, 1, 4, 2, 5)), (-1, channels, rows * height, columns * width)
    )
    return area_shares(mosaics, (height, width)) if small else mosaics


def usual_scores(
    logits: Float[np.ndarray, "image class"], classes: Int[np.ndarray, " image"]
) -> Float[np.ndarray, " class"]:
    """What each class scores in a photo of another class, in the mean; see `centred`. NaN where there is no such photo.

    Args:
        logits: of all photos.
        classes: the top class of each.
    """
    scores = centred(logits)
    scores[np.arange(len(classes)), classes] = np.nan
    found = np.full(scores.shape[1], np.nan)
    counted = ~np.isnan(scores).all(0)
    found[counted] = np.nanmean(scores[:, counted], axis=0)
    return found


def recognised(
    logits: Float[np.ndarray, "mosaic class"],
    classes: Int[np.ndarray, "mosaic part"],
    usual: Float[np.ndarray, " class"],
) -> Bool[np.ndarray, " mosaic"]:
    """In which mosaics the model still sees every class: each scores more than in a photo of another class.

    Its probability would not do: behind a global average pooling four photos make each logit a quarter, and what is
    seen as well as ever has a thousandth of the probability.

    Args:
        logits: of the mosaics.
        classes: of each mosaic's photos.
        usual: see `usual_scores`.
    """
    return np.asarray((np.take_along_axis(centred(logits), classes, axis=1) > usual[classes]).all(1))


def centred(logits: Float[np.ndarray, "image class"]) -> Float[np.ndarray, "image class"]:
    """Logits less their mean over classes: what a softmax is of, without the constant that it does not see."""
    return np.asarray(logits - logits.mean(1, keepdims=True))
