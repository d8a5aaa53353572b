"""Words as labels: which classes there are, and which of them each image has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from camscope.errors import InputError, nearest
from camscope.images import natural_key


class Labelling(NamedTuple):
    """What words say as labels.

    Attributes:
        classes: the names of the classes.
        targets: which of them each image has.
        notes: what a person should know.
    """

    classes: tuple[str, ...]
    targets: Bool[np.ndarray, "image class"]
    notes: tuple[str, ...]


def label(
    words: Sequence[Sequence[str]], places: Sequence[str], classes: Sequence[str] | None, origin: str
) -> Labelling:
    """Turn the words of each image into targets.

    Args:
        words: of each image.
        places: where each image's words stand, for errors.
        classes: the names that may occur, in the order of the model's outputs; None takes those that do, in natural
            order.
        origin: what all of it was read from.

    Raises:
        InputError: a word is not in the list, or the list has a name twice.
    """
    found = {word for of_image in words for word in of_image}
    names = tuple(classes) if classes is not None else in_order(found)
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"The list of classes has {listed(twice)} more than once.")
    if found - set(names):
        _refuse(words, places, names)
    at = {name: i for i, name in enumerate(names)}
    targets = np.zeros((len(words), len(names)), dtype=bool)
    for image, of_image in enumerate(words):
        targets[image, [at[word] for word in of_image]] = True
    return Labelling(names, targets, tuple(_notes(names, found, origin)))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names, each once, in natural order."""
    return tuple(sorted(set(names), key=lambda name: (natural_key(name), name)))


def listed(names: Sequence[object], most: int = 8) -> str:
    """Some names as part of a sentence."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _notes(names: Sequence[str], found: Set[str], origin: str) -> Iterator[str]:
    """What is odd about the classes, but may be meant."""
    if empty := [name for name in names if name not in found]:
        yield f"{origin} has no image of {listed(empty)}"
    folded = [name.casefold() for name in names]
    if alike := [name for name in names if folded.count(name.casefold()) > 1]:
        yield f"{listed(alike)} differ only in small and capital letters, and are classes of their own"


def _refuse(words: Sequence[Sequence[str]], places: Sequence[str], names: Sequence[str]) -> None:
    for of_image, place in zip(words, places, strict=True):
        for word in of_image:
            if word not in names:
                raise InputError(
                    f"{place} has the label {word!r}, which is not in the list of classes.{nearest(word, names)} "
                    f"The list: {listed(names)}."
                )
