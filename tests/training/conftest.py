"""Small images that are learnt in seconds, shared by the tests of the loop."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.training import LabelledImages


def stripes(count: int = 48, side: int = 12, seed: int = 0, *, multilabel: bool = False) -> LabelledImages:
    """Grey noise with bright rows, or bright columns, or (multi-label) both or neither."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (count, side, side), dtype=np.uint8)
    flags = rng.random((count, 2)) < 0.5
    if not multilabel:
        flags = np.arange(count)[:, None] % 2 == np.arange(2)
    for image, (rows, columns) in zip(images, flags, strict=True):
        at = rng.integers(2, side - 4)
        if rows:
            image[at : at + 2] = 255
        if columns:
            image[:, at : at + 2] = 255
    return LabelledImages(
        sources=list(images),
        names=tuple(f"stripes[{i}]" for i in range(count)),
        classes=("rows", "columns"),
        targets=flags,
        multilabel=multilabel,
        origin="stripes",
    )


@pytest.fixture(scope="session")
def striped() -> LabelledImages:
    """48 grey images of 12², two classes."""
    return stripes()
