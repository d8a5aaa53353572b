"""How fast a run is, beside a plain loop that only predicts, and the loops of other libraries.

    python -m benchmarks.runs --images 333 --rounds 3 --json-file runs.json

The folder has the packaged photos of `benchmarks.photos`, as often as is needed; the model is the demo model, the
method Grad-CAM at the default layer, with all that a run does: reading, explaining, numbers, Parquet. The plain loop is
a DataLoader with as many workers, torchvision's transforms, an eager float32 forward and an arg-max; the loops of other
libraries make their maps in it, one Grad-CAM a batch, and keep nothing. All take turns in one process, so that a
machine that is busy for a while slows all. A run keeps the memory that it frees (`camscope.runs.kept_memory`), which
few loops do; so there is the plain loop with that too. Times are on the wall, and of all processors, children included.
What each takes before it has its pace (processes, imports, the copy of the model) is measured on a few images and taken
off.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import cyclopts
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import camscope
from benchmarks.photos import check, photos
from camscope.libraries import load_model
from camscope.runs import run
from camscope.runs.kept_memory import memory_kept


@dataclass(frozen=True)
class Took:
    """What one loop took.

    Attributes:
        wall: seconds.
        processors: seconds of all processors, those of worker processes included.
    """

    wall: float
    processors: float


@dataclass(frozen=True)
class Row:
    """One loop.

    Attributes:
        name: which.
        images_per_second: median over the rounds.
        processor_ms: milliseconds of processors for an image, median.
        ratio: images per second as a multiple of the plain loop's in the same round, median.
        processor_ratio: the same by the time of processors.
        start: seconds of processors that it takes before: what a few images take beyond their share.
        aim: where the ratio is to be; None where there is no aim.
    """

    name: str
    images_per_second: float
    processor_ms: float
    ratio: float
    processor_ratio: float
    start: float
    aim: float | None = None


_FEW = 16

AIMS = {"camscope run, plain": 0.95, "camscope run": 1.3}


class Photos(Dataset[torch.Tensor]):
    """The photos of a folder, as the model takes them."""

    def __init__(self, files: Sequence[Path], preprocessing: camscope.Preprocessing) -> None:
        assert isinstance(preprocessing.resize, int)
        self.files = files
        self.transform = transforms.Compose(
            [
                transforms.Resize(
                    preprocessing.resize, transforms.InterpolationMode(preprocessing.interpolation)
                ),
                transforms.CenterCrop(preprocessing.input_size),
                transforms.ToTensor(),
                transforms.Normalize(preprocessing.mean, preprocessing.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> torch.Tensor:
        found: torch.Tensor = self.transform(Image.open(self.files[number]).convert("RGB"))
        return found


@dataclass(frozen=True)
class Loops:
    """What is measured.

    Attributes:
        folder: of the photos.
        explainer: of the model.
        batch: images at a time.
        workers: processes that read.
        scratch: where runs are written.
    """

    folder: Path
    explainer: camscope.Explainer
    batch: int
    workers: int
    scratch: Path

    def all(self) -> dict[str, Callable[[], object]]:
        """Every loop by its name, the plain one first."""
        loops: dict[str, Callable[[], object]] = {
            "plain loop": self.plain,
            "plain loop, memory kept": self.plain_kept,
            "camscope run, plain": lambda: self.run(optimised=False),
            "camscope run": lambda: self.run(optimised=True),  # as is chosen of 128 images on
            "camscope run, bfloat16": lambda: self.run(optimised="bfloat16"),
        }
        if find_spec("pytorch_grad_cam"):
            loops["pytorch-grad-cam's loop"] = self.pytorch_grad_cam
        if find_spec("torchcam"):
            loops["torch-cam's loop"] = self.torchcam
        return loops

    @property
    def model(self) -> torch.nn.Module:
        """The model itself, in eval mode."""
        model: torch.nn.Module = load_model("demo").model
        return model.eval()

    def batches(self) -> DataLoader[torch.Tensor]:
        """The photos, read by workers."""
        assert self.explainer.preprocessing is not None
        return DataLoader(
            Photos(sorted(self.folder.glob("*.jpg")), self.explainer.preprocessing),
            self.batch,
            num_workers=self.workers,
        )

    def plain(self) -> list[int]:
        """Predict."""
        model, found = self.model, []
        with torch.no_grad():
            for x in self.batches():
                found += model(x).argmax(dim=1).tolist()
        return found

    def plain_kept(self) -> list[int]:
        """The same, told to the C library as a run tells it."""
        with memory_kept():
            return self.plain()

    def run(self, optimised: bool | str | None) -> object:
        """A run, into a folder of its own."""
        out = self.scratch / "run"
        shutil.rmtree(out, ignore_errors=True)
        done = run(
            self.folder, model="demo", out=out, optimised=optimised, workers=self.workers, progress=False,
            batch=self.batch,
        )  # fmt: skip
        assert done.complete
        return done

    def pytorch_grad_cam(self) -> None:
        """Its maps of the top class."""
        from pytorch_grad_cam import GradCAM

        model = self.model
        with GradCAM(model=model, target_layers=[model.get_submodule(LAYER)]) as cam:
            for x in self.batches():
                cam(input_tensor=x, targets=None)

    def torchcam(self) -> None:
        """The same."""
        from torchcam.methods import GradCAM

        model = self.model
        with GradCAM(model, LAYER) as cam:
            for x in self.batches():
                scores = model(x.requires_grad_())
                cam(scores.argmax(dim=1).tolist(), scores)


LAYER = "bn2"
"""The layer that is chosen of the demo model."""


def timed(loop: Callable[[], object]) -> Took:
    """Run a loop once."""
    before, start = _processors(), time.perf_counter()
    loop()
    return Took(time.perf_counter() - start, _processors() - before)


def _processors() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def fill(folder: Path, count: int) -> None:
    """Write the packaged photos, again and again, as JPEG files of their own sizes."""
    some = photos()
    check(some)
    for number in range(count):
        file = folder / f"{number:05d}.jpg"
        if number < len(some):
            some[number].image.save(file, quality=92)
        else:
            file.hardlink_to(folder / f"{number % len(some):05d}.jpg")


def main(
    *,
    images: int = 333,
    rounds: int = 3,
    batch: int = 16,
    workers: int = 2,
    only: Sequence[str] = (),
    json_file: Path | None = None,
) -> None:
    """Measure, and print the table.

    Args:
        images: how many photos the folder has.
        rounds: that are counted; one of few images more warms up.
        batch: images at a time, in all loops.
        workers: processes that read, in all loops.
        only: names of loops; all if left out.
        json_file: also write the rows there.
    """
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos"
        folder.mkdir()
        fill(folder, images)
        (Path(scratch) / "few").mkdir()
        for file in sorted(folder.iterdir())[:_FEW]:
            (Path(scratch) / "few" / file.name).hardlink_to(file)
        explainer = camscope.Explainer("demo")
        loops = Loops(folder, explainer, batch, workers, Path(scratch)).all()
        short = Loops(Path(scratch) / "few", explainer, batch, workers, Path(scratch)).all()
        loops = {name: loop for name, loop in loops.items() if not only or name in (*only, "plain loop")}
        took: dict[str, list[Took]] = {name: [] for name in loops}
        first: dict[str, list[Took]] = {name: [] for name in loops}
        for number in range(rounds):
            for name, loop in loops.items():
                timed(short[name])  # imports, the first look at the model
                first[name].append(timed(short[name]))
                took[name].append(timed(loop))
                rate = (images - _FEW) / (took[name][-1].wall - first[name][-1].wall)
                print(f"round {number + 1}, {name}: {rate:.1f} images/s", flush=True)
    pace = {name: [_less(a, b) for a, b in zip(took[name], first[name], strict=True)] for name in loops}
    rows = [_row(name, pace[name], pace["plain loop"], first[name], images - _FEW) for name in loops]
    where = (
        f"{machine()}, {_threads()}, load {os.getloadavg()[0]:.0f} at the end; {images} photos, "
        f"batch {batch}, {workers} workers, {rounds} rounds; torch {torch.__version__}"
    )
    Console(width=160).print(_table(rows, where))
    if json_file is not None:
        found = {"machine": where, "rows": [asdict(row) for row in rows]}
        json_file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _less(whole: Took, first: Took) -> Took:
    return Took(whole.wall - first.wall, whole.processors - first.processors)


def _row(name: str, took: Sequence[Took], plain: Sequence[Took], first: Sequence[Took], images: int) -> Row:
    return Row(
        name,
        median(images / one.wall for one in took),
        median(1000 * one.processors / images for one in took),
        median(base.wall / one.wall for one, base in zip(took, plain, strict=True)),
        median(base.processors / one.processors for one, base in zip(took, plain, strict=True)),
        median(one.processors - _FEW * own.processors / images for one, own in zip(first, took, strict=True)),
        AIMS.get(name),
    )


def _table(rows: Sequence[Row], where: str) -> Table:
    table = Table(
        "",
        "images/s",
        "× plain loop",
        "ms of processors / image",
        "× plain loop",
        "start",
        "aim",
        title=where,
    )
    for row in rows:
        aim = "" if row.aim is None else f"≥ {row.aim:g}{'' if row.ratio >= row.aim else '  missed'}"
        table.add_row(
            row.name, f"{row.images_per_second:.1f}", f"{row.ratio:.2f}", f"{row.processor_ms:.1f}",
            f"{row.processor_ratio:.2f}", f"{row.start:.1f} s", aim,
        )  # fmt: skip
    return table


def _threads() -> str:
    count = torch.get_num_threads()
    return f"{count} thread{'s' if count > 1 else ''} for PyTorch"


def machine() -> str:
    """What this is measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    return f"{name}, {os.cpu_count()} cores"


if __name__ == "__main__":
    cyclopts.run(main)
