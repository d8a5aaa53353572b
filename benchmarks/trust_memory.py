"""Does the memory of `explainer.trust` stay flat over many photos?

    python -m benchmarks.trust_memory --photos 500

judges a map of each of so many crops of scikit-image's photos by all tests, on a small network with random weights:
what it says does not matter here. It prints the memory that the process holds (resident, in MiB) as it goes.
"""

from __future__ import annotations

import argparse
import gc

import numpy as np
import psutil
import torch
from PIL import Image
from skimage import data
from torch import nn

import camscope

SIDE = 160


def crops(count: int) -> list[tuple[int, int, int, int]]:
    """The number of a photo, and the side and the corner of a square in it."""
    random = np.random.default_rng(0)
    return [tuple(map(int, random.integers(0, (3, 80, 100, 100)))) for _ in range(count)]


def network() -> nn.Module:
    """Two convolutions, a batch norm and a linear layer: maps of 7 × 7 cells."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=4, padding=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    ).eval()


def main() -> None:
    """Print a line for every tenth of the photos."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    explainer = camscope.Explainer(
        network(), preprocessing=camscope.Preprocessing(input_size=(56, 56), resize=64)
    )
    photos = [data.coffee(), data.chelsea(), data.astronaut()]
    process = psutil.Process()
    for number, (which, more, left, top) in enumerate(crops(given.photos), start=1):
        side = SIDE + more
        crop = Image.fromarray(photos[which][top : top + side, left : left + side])
        explainer.trust(crop, checks="all", progress=False)
        if number in (1, 10, 25) or number % max(1, given.photos // 10) == 0:
            gc.collect()
            print(f"{number:5} photos: {process.memory_info().rss / 2**20:7.1f} MiB", flush=True)


if __name__ == "__main__":
    main()
