"""Labelled images that tests make: small pictures, each of its own colour, so that each can be told."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from camscope.training.labelled import LabelledImages


def picture(number: int, size: tuple[int, int] = (12, 10)) -> np.ndarray:
    """A seeded picture of (height, width)."""
    return np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)


def folder(home: Path, counts: dict[str, int]) -> Path:
    """Folders of PNG files: ``{"train/cat": 3}``. Every picture is another."""
    number = 0
    for name, count in counts.items():
        (home / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(picture(number)).save(home / name / f"{i}.png")
            number += 1
    return home


def table(file: Path, rows: Sequence[Sequence[object]]) -> Path:
    """A CSV file; the first row names the columns."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return file


def labelled(
    count: int = 12, classes: int = 3, *, multilabel: bool = False, **fields: object
) -> LabelledImages:
    """Pictures in memory; image i is of class i mod K, and if there may be several, of class i // 2 mod K."""
    targets = np.arange(count)[:, None] % classes == np.arange(classes)
    if multilabel:
        targets |= np.arange(count)[:, None] // 2 % classes == np.arange(classes)
    given = {
        "sources": [picture(i) for i in range(count)],
        "names": tuple(f"image {i}" for i in range(count)),
        "classes": tuple("abcdefgh"[:classes]),
        "targets": targets,
        "multilabel": multilabel,
    }
    return LabelledImages(**{**given, **fields})
