"""Whether the memory and the file handles of a run stay the same, however many images it has.

    python -m benchmarks.run_memory --images 20000

Small images and a small network, so that what is kept by mistake would be seen beside what is not.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import cyclopts
from torch import nn

import camscope
from camscope.runs import run
from camscope.runs.shard_engine import Progress


def main(*, images: int = 20_000, side: int = 32) -> None:
    """Run, and print memory and handles on the way.

    Args:
        images: how many; each of 200 files many times.
        side: of the model's input, in pixels.
    """
    from tests.runs.conftest import write_photos

    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    preprocessing = camscope.Preprocessing(input_size=(side, side), resize=(side, side), crop="squash")
    explainer = camscope.Explainer(network.eval(), preprocessing=preprocessing)
    seen: dict[int, tuple[float, int]] = {}

    def told(progress: Progress) -> None:
        if not progress.begun:
            seen[progress.now] = memory_mib(), handles()

    with tempfile.TemporaryDirectory() as scratch:
        photos = sorted(write_photos(Path(scratch) / "photos", 200).rglob("*.png"))
        listed = Path(scratch) / "list.txt"
        listed.write_text("".join(f"{photos[number % len(photos)]}\n" for number in range(images)))
        run(listed, model=explainer, out=Path(scratch) / "run", progress=told)
    first = next(done for done in seen if done >= images // 10)
    for done in [
        first,
        *(done for done in seen if done > first and done // 2000 != (done - 256) // 2000),
        max(seen),
    ]:
        print(f"{done:7,} images: {seen[done][0]:7.1f} MiB, {seen[done][1]} handles")
    growth = seen[max(seen)][0] / seen[first][0] - 1
    print(f"{growth:+.1%} from {first:,} to {max(seen):,} images")


def memory_mib() -> float:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def handles() -> int:
    """How many files it has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


if __name__ == "__main__":
    cyclopts.run(main)
