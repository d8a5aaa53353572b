"""A run keeps nothing of the images that are done, and no file open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import camscope
from camscope import Explainer
from tests.runs.conftest import write_photos
from tests.runs.test_faster_copy import normed


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say what is in memory")
def test_memory_and_handles_stay_the_same(tmp_path):
    """Of 640 images of 150 kB each as the model takes them: 66 MB, if those of the last 448 were kept."""
    photos = sorted(write_photos(tmp_path / "photos", 16).rglob("*.png"))
    (tmp_path / "list.txt").write_text("".join(f"{photos[number % 16]}\n" for number in range(640)))
    seen = {}

    def told(progress):
        if not progress.begun:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            handles = len(list(Path("/proc/self/fd").iterdir()))
            seen[progress.now] = pages * os.sysconf("SC_PAGE_SIZE"), handles

    preprocessing = camscope.Preprocessing(input_size=(112, 112), resize=(112, 112), crop="squash")
    camscope.runs.run(
        tmp_path / "list.txt", model=Explainer(normed(), preprocessing=preprocessing), out=tmp_path / "run",
        shard_size=64, workers=1, progress=told,
    )  # fmt: skip
    assert seen[640][0] - seen[192][0] < 20e6
    assert seen[640][1] == seen[192][1]
