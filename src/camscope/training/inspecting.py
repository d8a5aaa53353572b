"""A look at all images before a training: their sizes, and which are unreadable or there twice."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from PIL import Image

from camscope.errors import InputError
from camscope.images import photo_size, to_photo
from camscope.training.dataset_objects import DatasetImages
from camscope.training.labelled import LIMIT, LabelledImages, Picked
from camscope.training.statistics import MOST, evenly


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was seen of the images.

    Attributes:
        sizes: height and width of each that was looked at.
        duplicates: the numbers of images that are the same byte by byte, group by group.
    """

    sizes: Int[np.ndarray, "image 2"]
    duplicates: tuple[tuple[int, ...], ...]


def inspect(labelled: LabelledImages, *, unreadable: float = LIMIT) -> tuple[LabelledImages, Inspection]:
    """Look at images and leave out those that cannot be read.

    Files are all looked at, but not decoded: damage behind the header shows when a batch is read. Of a dataset object,
    whose items may be costly to read, `MOST` are looked at.

    Args:
        labelled: the images.
        unreadable: the share of images that may be unreadable.

    Returns:
        The readable images, and what was seen of them.

    Raises:
        InputError: more cannot be read; the message names the first.
    """
    sizes: list[tuple[int, int]] = []
    reasons: dict[int, str] = {}
    alike: dict[Any, list[int]] = defaultdict(list)
    for index in evenly(len(labelled), MOST if _is_lazy(labelled.sources) else len(labelled)).tolist():
        try:
            source = labelled.sources[index]
            size = photo_size(source) if isinstance(source, (str, os.PathLike)) else to_photo(source).size
        except InputError as error:
            reasons[index] = str(error)
            continue
        sizes.append(size)
        # The number that the image has when those before it are gone.
        alike[_weight(source)].append(index - len(reasons))
    readable = labelled.without(reasons, limit=unreadable)
    seen = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    return readable, Inspection(seen, _same(readable.sources, alike.values()))


def _is_lazy(sources: Sequence[Any]) -> bool:
    while isinstance(sources, Picked):
        sources = sources.items
    return isinstance(sources, DatasetImages)


def _weight(source: Any) -> Any:
    """What images that are the same have in common, and which costs nothing to find."""
    if isinstance(source, (str, os.PathLike)):
        return Path(source).stat().st_size if Path(source).is_file() else source
    return source.size if isinstance(source, Image.Image) else np.shape(source)


def _same(sources: Sequence[Any], alike: Iterable[list[int]]) -> tuple[tuple[int, ...], ...]:
    """Groups of images with the same content."""
    groups: list[tuple[int, ...]] = []
    for some in alike:
        by_digest: dict[bytes, list[int]] = defaultdict(list)
        for index in some if len(some) > 1 else ():
            by_digest[_digest(sources[index])].append(index)
        groups += [tuple(group) for group in by_digest.values() if len(group) > 1]
    return tuple(sorted(groups))


def _digest(source: Any) -> bytes:
    if isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    pixels = source if isinstance(source, np.ndarray) else np.asarray(to_photo(source).pixels)
    return hashlib.blake2b(np.ascontiguousarray(pixels).tobytes()).digest()
