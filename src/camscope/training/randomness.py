"""Random numbers that are a function of seed, epoch and image alone, so that no state is kept and none is touched."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

DRAWS = 9
"""How many numbers an image gets in an epoch."""


def draws(seed: int, epoch: int, index: int) -> Float64[np.ndarray, " draw"]:
    """The random numbers of one image in one epoch, uniform in [0, 1).

    Philox is a counter-based generator (Salmon et al., SC 2011): its key is the seed and the epoch, its counter the
    image, so images share no numbers and are drawn in any order, by any worker.

    Args:
        seed: of the run; any integer.
        epoch: from 0.
        index: the image's number.
    """
    return _uniform(_philox(seed, epoch, index, stream=0), DRAWS)


def shuffled(count: int, seed: int, epoch: int) -> Int[np.ndarray, " count"]:
    """The numbers 0 … count − 1 in the order of an epoch.

    Args:
        count: how many there are.
        seed: of the run; any integer.
        epoch: from 0.
    """
    return np.argsort(_philox(seed, epoch, 0, stream=1).random_raw(count), kind="stable")


def _philox(seed: int, epoch: int, index: int, *, stream: int) -> np.random.Philox:
    # The generator counts up the lowest word, so the image and the stream are in words of their own.
    key = np.array(
        [seed % 2**64, epoch % 2**64], dtype=np.uint64
    )  # a list of large numbers would become floats
    return np.random.Philox(key=key, counter=np.array([0, index, stream, 0], dtype=np.uint64))


def _uniform(bits: np.random.Philox, count: int) -> Float64[np.ndarray, " draw"]:
    # Raw bits are the same in every version of NumPy, which its generators' distributions need not be.
    return (bits.random_raw(count) >> np.uint64(11)) * 2.0**-53
