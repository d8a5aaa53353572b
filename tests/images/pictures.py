"""Pictures with known pixels, to write into files and to look for in what comes back."""

from __future__ import annotations

import numpy as np
from PIL import Image


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def quarters(size: int = 16) -> Image.Image:
    """Red, green / blue, white: each quarter tells its place, also after lossy compression."""
    picture = Image.new("RGB", (size, size), (255, 255, 255))
    half = size // 2
    picture.paste((255, 0, 0), (0, 0, half, half))
    picture.paste((0, 255, 0), (half, 0, size, half))
    picture.paste((0, 0, 255), (0, half, half, size))
    return picture


def array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)
