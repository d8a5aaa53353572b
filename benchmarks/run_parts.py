"""What a run does with an image, part by part, in milliseconds of a processor.

    python -m benchmarks.run_parts --images 111 --json-file parts.json

The same photos, model and method as in `benchmarks.runs`, in one process and one thread, so that each part can be
told from the others: a run reads in processes of its own while the model works. The parts together are what its
processors do, but for the talk between processes.
"""

from __future__ import annotations

import json
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cyclopts
import numpy as np
import torch

import camscope
from benchmarks.runs import LAYER, fill
from camscope.images import Quick, read_quickly
from camscope.runs.faster_copy import Precision, explainer_on
from camscope.runs.kept_memory import memory_kept
from camscope.runs.labels_of_run import Label
from camscope.runs.needed_packages import pyarrow_modules
from camscope.runs.reading_one import ReadPhoto, bytes_of, digest_of_bytes
from camscope.runs.row_columns import schema
from camscope.runs.rows_of_explanations import Numbered, Row, rows_of
from camscope.runs.shard_work import explained, given_of
from camscope.runs.sources.finding_inputs import find_inputs
from camscope.runs.sources.one_input import DataOptions

Found = TypeVar("Found")


class Clock:
    """Adds up what each part takes of this thread's processor."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def took(self, part: str, do: Callable[[], Found]) -> Found:
        """Do it, and add what it took to its part."""
        begun = time.thread_time()
        found = do()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.thread_time() - begun
        return found


def measure(folder: Path, batch: int, precision: Precision, quick: Quick) -> dict[str, float]:
    """Milliseconds of each part for an image.

    Args:
        folder: of the photos.
        batch: images at a time; what is left over is not run.
        precision: of the copy that is explained on; empty for the model itself.
        quick: what is spared when photos are read.
    """
    explainer = camscope.Explainer("demo")
    own, preprocessing = explainer_on(explainer, precision), explainer.preprocessing
    assert preprocessing is not None
    inputs = list(find_inputs(folder, DataOptions(None, None, None, None)))
    inputs = inputs[: len(inputs) // batch * batch]
    pa, pq = pyarrow_modules()
    clock, rows, warm = Clock(), list[Row](), True
    shard = folder.parent / "shard.parquet"
    pq.write_table(pa.Table.from_pylist([], schema=schema()), shard)
    with memory_kept(), own.at_rest():
        for first in [
            0,
            *range(0, len(inputs), batch),
        ]:  # the first batch twice: imports, what is found out once
            some, photos = inputs[first : first + batch], list[ReadPhoto]()
            for one in some:
                found = clock.took("file, digest", lambda: bytes_of(one))  # noqa: B023
                digest = clock.took("file, digest", lambda: digest_of_bytes(found))  # noqa: B023
                photo = clock.took(
                    "decoding, resizing, normalising",
                    lambda: read_quickly(found, one.source, preprocessing, quick),  # noqa: B023
                )
                geometry = preprocessing.geometry(photo.size)
                read = ReadPhoto(photo.size, digest, photo.notes, photo.prepared, geometry)
                sent = clock.took("from process to process", lambda: pickle.dumps(read, protocol=5))  # noqa: B023
                photos.append(clock.took("from process to process", lambda: pickle.loads(sent)))  # noqa: B023
            e = clock.took(
                "forward, maps",
                lambda: explained(own, given_of(some, photos), ["gradcam"], [LAYER], None, 0),  # noqa: B023
            )
            numbered = [Numbered(first + i, one, Label(None, None)) for i, one in enumerate(some)]
            for of_image in clock.took("numbers, rows", lambda: rows_of(e, numbered, photos, 5)):  # noqa: B023
                rows += of_image
            if warm:
                warm, clock, rows = False, Clock(), []
        table = clock.took("Parquet", lambda: pa.Table.from_pylist(rows, schema=schema()))
        clock.took("Parquet", lambda: pq.write_table(table, shard))
    return {part: 1000 * seconds / len(inputs) for part, seconds in clock.seconds.items()}


def main(*, images: int = 111, batch: int = 16, json_file: Path | None = None) -> None:
    """Measure, and print a table.

    Args:
        images: how many photos.
        batch: images at a time.
        json_file: also write it there.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos"
        folder.mkdir()
        fill(folder, images)
        found = {name: measure(folder, batch, *ways) for name, ways in COPIES.items()}
    for part in next(iter(found.values())):
        print(f"{part:33}" + "".join(f"{one[part]:10.1f}" for one in found.values()))
    print(f"{'together':33}" + "".join(f"{np.sum(list(one.values())):10.1f}" for one in found.values()))
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=1) + "\n")


COPIES: dict[str, tuple[Precision, Quick]] = {
    "camscope run": ("float32", "reduced"),
    "camscope run, plain": ("", ""),
    "camscope run, bfloat16": ("bfloat16", "reduced"),
}

if __name__ == "__main__":
    cyclopts.run(main)
