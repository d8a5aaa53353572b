"""Two halves of some images: one to choose on, the other to test on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int


def first_half(
    classes: Int[np.ndarray, " image"], groups: Sequence[Any] | None = None, *, seed: int = 0
) -> Bool[np.ndarray, " image"]:
    """True for the images of the first half: each class in proportion, or no group in both.

    What is chosen as the best of several and tested on the same images looks better than it is. Images that share a
    patient or a video are not independent, so a group stays whole.

    Args:
        classes: of each image, by number.
        groups: of each image; None for none.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    first = np.zeros(len(classes), bool)
    if groups is None:
        drawn = random.permutation(len(classes))
        in_turn = drawn[np.argsort(classes[drawn], kind="stable")]  # class by class, each in a drawn order
        first[in_turn[random.integers(2) :: 2]] = True
        return first
    members: dict[Any, list[int]] = {}
    for image, group in enumerate(groups):
        members.setdefault(group, []).append(image)
    drawn_groups = list(members.values())
    random.shuffle(drawn_groups)
    # as many groups in each, and where that leaves a choice, as many images of each class
    counts = np.zeros((2, int(classes.max(initial=0)) + 1))
    for number in range(0, len(drawn_groups), 2):
        pair = drawn_groups[number : number + 2]
        one, other = ([np.bincount(classes[m], minlength=counts.shape[1]) for m in pair] + [0])[:2]
        as_drawn = np.abs(counts[0] + one - counts[1] - other).sum()
        turned = np.abs(counts[0] + other - counts[1] - one).sum()
        swap = turned < as_drawn
        for half, images in zip((1, 0) if swap else (0, 1), pair, strict=False):
            counts[half] += np.bincount(classes[images], minlength=counts.shape[1])
            first[images] = half == 0
    return first
