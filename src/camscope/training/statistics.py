"""Mean and standard deviation of the training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from camscope.errors import InputError
from camscope.images import Preprocessing
from camscope.training.labelled import LabelledImages

MOST = 2000
"""How many images are looked at; of more, so many that are evenly spaced."""


def measured(
    preprocessing: Preprocessing,
    labelled: LabelledImages,
    indices: Sequence[int] | Int[np.ndarray, " train"],
) -> Preprocessing:
    """A preprocessing with the mean and standard deviation of the training images as it resizes and crops them.

    The values are those of all pixels of all images, channel by channel, in [0, 1]. Images that cannot be read are
    passed over; `Batches` names them.

    Args:
        preprocessing: of the model; its own mean and standard deviation only say how many channels there are.
        labelled: the images.
        indices: those to train on; what is held out is not looked at.

    Raises:
        InputError: no image can be read, or all pixels of a channel are the same.
    """
    raw = replace(preprocessing, mean=(0.0,) * len(preprocessing.mean), std=(1.0,) * len(preprocessing.std))
    sums, squares, images = np.zeros(len(raw.mean)), np.zeros(len(raw.mean)), 0
    chosen = np.asarray(indices)[evenly(len(indices), MOST)]
    failed = None
    for index in chosen.tolist():
        try:
            light = raw(labelled.photo(index)).astype(np.float64)
        except InputError as error:
            failed = failed or error
            continue
        sums += light.mean((1, 2))
        squares += (light**2).mean((1, 2))
        images += 1
    if not images:
        raise InputError(f"None of the {len(chosen)} images can be read. The first: {failed}") from failed
    mean = sums / images
    std = np.sqrt(np.maximum(squares / images - mean**2, 0))
    if std.min() < 1e-4:
        raise InputError(
            f"All pixels of the {images} images that were looked at are the same: mean {mean.round(4).tolist()}, "
            "standard deviation 0. There is nothing to learn from them."
        )
    source = f"{preprocessing.source}; mean and std of {images} training images"
    # So many digits are more than float32 has, and short enough to read.
    return replace(
        preprocessing,
        mean=tuple(float(f"{value:.9g}") for value in mean),
        std=tuple(float(f"{value:.9g}") for value in std),
        source=source,
    )


def evenly(count: int, most: int) -> Int[np.ndarray, " chosen"]:
    """Numbers below a count, all of them or so many that are evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
