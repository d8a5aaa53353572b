"""Photos that carry their number in their pixels, and a model that writes down which it computes: its workers count."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

_SIDE = 32

_FACTORY = """
import os, time
import numpy as np
import torch
from torch import nn
import camscope

class Counting(nn.Sequential):
    def forward(self, x):
        pixels = np.rint(x.detach().numpy()[:, :, [0, -1], [0, -1]] * 255).astype(int)
        for low, high, check in pixels[:, :, 0][(pixels[:, :, 0] == pixels[:, :, 1]).all(1)].tolist():
            if check == (7 * low + high) %% 256:  # and no altered copy
                line = f"{time.time_ns()} {os.getpid()} {low + 256 * high}\\n"
                os.write(LOG, line.encode())
        time.sleep(SLOW)
        return super().forward(x)

LOG = os.open(%r, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
SLOW = %r

def counting():
    torch.manual_seed(0)
    model = Counting(
        nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    ).eval()
    model.preprocessing = camscope.Preprocessing(
        input_size=(32, 32), resize=(32, 32), crop="squash", mean=(0, 0, 0), std=(1, 1, 1)
    )
    return model
"""


def numbered_photos(folder: Path, count: int) -> Path:
    """Photos of noise, whose order is that of their numbers."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 255, (_SIDE, _SIDE, 3), dtype=np.uint8)
        high, low = divmod(number, 256)
        pixels[0, 0] = pixels[-1, -1] = (low, high, (7 * low + high) % 256)
        Image.fromarray(pixels).save(folder / f"{number:06d}.png", compress_level=1)
    return folder


class Counts:
    """What workers have computed.

    Args:
        folder: where they write it down.
        slow: seconds that each pass of the model takes longer.
    """

    def __init__(self, folder: Path, slow: float = 0.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "computed.log"
        self.log.touch()
        file = folder / "counting_model.py"
        file.write_text(_FACTORY % (str(self.log), slow))
        self.spec = f"{file}:counting"

    def lines(self) -> list[tuple[int, int, int]]:
        """Time in nanoseconds, process and number of the image, of each time that one was computed."""
        lines = self.log.read_text().splitlines()
        return [(int(time), int(pid), int(number)) for time, pid, number in map(str.split, lines)]

    def processes(self, shard_size: int) -> dict[int, list[int]]:
        """By shard the processes that have begun it, in order."""
        found: dict[int, dict[int, None]] = defaultdict(dict)
        for _, pid, number in self.lines():
            found[number // shard_size][pid] = None
        return {shard: list(pids) for shard, pids in found.items()}

    def after(self, time: int, shards: set[int], shard_size: int) -> list[tuple[int, int, int]]:
        """What was computed of some shards later than a time."""
        return [line for line in self.lines() if line[0] > time and line[2] // shard_size in shards]
