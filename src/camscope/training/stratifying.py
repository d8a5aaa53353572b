"""Dealing out images so that every share has every class in proportion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from camscope.training.randomness import shuffled


def deal(labels: Int[np.ndarray, " image"], folds: int, seed: int) -> Int[np.ndarray, " image"]:
    """The fold of each image, where each image has one class.

    The images of each class are shuffled and dealt like cards, one class after the other. So the folds' sizes, and
    their counts of each class, differ by at most one.

    Args:
        labels: the class of each image.
        folds: how many there are.
        seed: of the shuffle.
    """
    mixed = shuffled(len(labels), seed, 0)
    cards = mixed[np.argsort(labels[mixed], kind="stable")]
    fold = np.empty(len(labels), dtype=np.int64)
    fold[cards] = np.arange(len(labels)) % folds
    return fold


def draw(labels: Int[np.ndarray, " image"], share: float, seed: int) -> Bool[np.ndarray, " image"]:
    """Which images are held out, where each image has one class.

    Each class gives its share, rounded so that the whole is rounded (largest remainder); a class of at least two
    images gives one at least and keeps one at least.

    Args:
        labels: the class of each image.
        share: of the images that is held out.
        seed: of the shuffle.
    """
    counts = np.bincount(labels)
    exact = counts * share
    take = np.floor(exact).astype(np.int64)
    short = round(share * len(labels)) - int(take.sum())
    take[np.argsort(take - exact, kind="stable")[:short]] += 1
    take = np.where(counts > 1, np.clip(take, 1, counts - 1), 0)
    mixed = shuffled(len(labels), seed, 0)
    held = np.zeros(len(labels), dtype=bool)
    for label, count in enumerate(take):
        held[mixed[labels[mixed] == label][:count]] = True
    return held


def stratify(
    targets: Bool[np.ndarray, "image class"], shares: Sequence[float], seed: int
) -> Int[np.ndarray, " image"]:
    """Which share each image goes to, where an image may have several classes or none.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas, ECML PKDD 2011, algorithm 1): the rarest class is dealt
    first, each of its images to the share that lacks it most, then to the one that lacks images most.

    Args:
        targets: the classes of each image.
        shares: how large each share is; their sum is 1.
        seed: of the order among equals.
    """
    images = len(targets)
    proportions = np.asarray(shares, dtype=np.float64)
    lacking = proportions * images
    lacking_of = proportions[:, None] * targets.sum(0)
    order = shuffled(images, seed, 0)
    share_of = np.full(images, -1, dtype=np.int64)
    left = np.ones(images, dtype=bool)
    while left.any():
        counts = targets[left].sum(0)
        if counts.any():
            rarest = int(np.where(counts > 0, counts, images + 1).argmin())
            now = order[left[order] & targets[order, rarest]]
        else:  # images without any class
            rarest, now = None, order[left[order]]
        for image in now:
            wanted = lacking if rarest is None else lacking_of[:, rarest]
            share = np.lexsort((-lacking, -wanted))[0]
            share_of[image] = share
            lacking[share] -= 1
            lacking_of[share, targets[image]] -= 1
        left[now] = False
    return share_of
