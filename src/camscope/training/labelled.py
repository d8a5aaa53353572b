"""Images and their labels, whatever they came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from camscope.errors import InputError, keyword
from camscope.images import Photo, to_photo

LIMIT = 0.05
"""The share of images that may be missing or unreadable before training is refused."""


class Skipped(NamedTuple):
    """An image that was left out.

    Attributes:
        name: as a person knows it.
        reason: why, as a sentence.
    """

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with their labels. The pixels are read when they are asked for.

    Attributes:
        sources: of each image a path, a PIL image or an array, as `camscope.images.to_photo` takes them.
        names: of each image, as a person knows it.
        classes: the names of the classes.
        targets: which classes each image has: exactly one, or any number if ``multilabel``.
        multilabel: whether an image may have several classes, or none.
        parts: ``train`` or ``val`` of each image, if the data says so.
        skipped: what was left out, and why.
        notes: what else a person should know about how the labels were read.
        origin: what it was read from.

    Raises:
        InputError: the fields do not fit together.
    """

    sources: Sequence[Any]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    targets: Bool[np.ndarray, "image class"]
    multilabel: bool = False
    parts: tuple[str, ...] | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    origin: str = ""

    def __post_init__(self) -> None:
        images, classes = self.targets.shape
        lengths = [len(self.sources), len(self.names), images if self.parts is None else len(self.parts)]
        if lengths != [images] * 3 or len(self.classes) != classes:
            raise InputError(
                f"targets has shape {self.targets.shape}, expected (images, classes), with {lengths[0]} sources, "
                f"{lengths[1]} names, {lengths[2]} parts and {len(self.classes)} classes."
            )
        if not self.multilabel and not (self.targets.sum(1) == 1).all():
            at = int(np.argmax(self.targets.sum(1) != 1))
            raise InputError(
                f"'{self.names[at]}' has {self.targets[at].sum()} classes, expected exactly one. "
                f"Where an image may have several, or none, say {keyword('multilabel', True)}."
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def labels(self) -> Int[np.ndarray, " image"]:
        """The class of each image, by number; only where each has one.

        Raises:
            InputError: an image may have several classes.
        """
        if self.multilabel:
            raise InputError("These images may have several classes each: use targets, not labels.")
        labels: Int[np.ndarray, " image"] = self.targets.argmax(1)
        return labels

    @property
    def counts(self) -> dict[str, int]:
        """How many images each class has."""
        return dict(zip(self.classes, self.targets.sum(0).tolist(), strict=True))

    def photo(self, index: int) -> Photo:
        """Read an image: upright, 8 bits, RGB.

        Raises:
            ImageError: it is missing, damaged or too large; the message names it.
            InputError: an array in memory is no picture.
        """
        return to_photo(self.sources[index])

    def of(self, indices: Sequence[int] | Int[np.ndarray, " chosen"]) -> LabelledImages:
        """Some of the images, by number, with all the classes."""
        chosen = [int(i) for i in indices]
        return replace(
            self,
            sources=Picked(self.sources, chosen),
            names=tuple(self.names[i] for i in chosen),
            targets=self.targets[chosen],
            parts=None if self.parts is None else tuple(self.parts[i] for i in chosen),
        )

    def without(self, reasons: dict[int, str], *, limit: float = LIMIT) -> LabelledImages:
        """Leave out some images.

        Args:
            reasons: the image's number, and why it is left out.
            limit: the share of images that may be left out.

        Raises:
            InputError: there are more.
        """
        lost = [Skipped(self.names[i], reason) for i, reason in sorted(reasons.items())]
        check_limit(lost, len(self), limit)
        kept = [i for i in range(len(self)) if i not in reasons]
        return replace(self.of(kept), skipped=(*self.skipped, *lost)) if lost else self


class Picked(Sequence[Any]):
    """Some items of a sequence, which is asked for them one by one."""

    def __init__(self, items: Sequence[Any], chosen: Sequence[int]) -> None:
        self.items, self._chosen = items, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Picked(self.items, self._chosen[index])
        return self.items[self._chosen[index]]

    def __iter__(self) -> Iterator[Any]:
        return (self.items[i] for i in self._chosen)


def check_limit(skipped: Sequence[Skipped], total: int, limit: float = LIMIT) -> None:
    """Refuse to go on where too many images cannot be used.

    Args:
        skipped: those that cannot.
        total: how many there are, with them.
        limit: the share that may be skipped.

    Raises:
        InputError: there are more; the message names the first.
    """
    if len(skipped) <= limit * total:
        return
    first = "\n".join(f"  {name}: {reason}" for name, reason in skipped[:5])
    more = f"\n  and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    enough = round(min(1.0, len(skipped) / total + 0.01), 2)
    raise InputError(
        f"{len(skipped)} of {total} images cannot be used; at most {limit:.0%} may be left out:\n"
        f"{first}{more}\nMend or remove them, or allow more: {keyword('unreadable', enough)}."
    )
