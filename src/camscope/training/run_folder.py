"""The folder of a run: what is in it, and how each file gets there whole."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from camscope.errors import InputError, nearest
from camscope.libraries.training_runs import BEST, LAST, RUN_FILE, is_run
from camscope.results.saving import finite
from camscope.surviving import held, sweep, written_aside
from camscope.training.checkpoints import write_tensors
from camscope.training.labelled import LabelledImages
from camscope.training.progress import Row
from camscope.training.splits import Split

CHECKPOINT = "checkpoint.safetensors"
RESULTS = "results.csv"
SCORES = "scores.json"
SPLIT = "split.csv"
CURVES = "curves.png"
CONFUSION = "confusion.png"
MAPS = "maps"
_PACKAGES = ("camscope", "torch", "torchvision", "accelerate", "timm", "numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run.

    Attributes:
        path: where it is.
    """

    path: Path

    @classmethod
    def new(cls, out: str | Path, name: str | None, suggested: str) -> RunFolder:
        """A folder for a new run; it is made by `make`.

        Args:
            out: where runs lie.
            name: of the run; None takes the suggested one, with a number if there is such a run.
            suggested: a name.

        Raises:
            InputError: if there is something of that name.
        """
        out = Path(out)
        if name is None:
            names = (suggested if n == 1 else f"{suggested}-{n}" for n in range(1, 10_000))
            name = next(one for one in names if not (out / one).exists())
        _check_name(name)
        path = out / name
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            known = is_run(path)
            more = "--resume goes on with it (resume=True in Python); or take" if known else "Take"
            kind = "run" if known else "file" if path.is_file() else "folder with files"
            raise InputError(f"There is a {kind} '{path}' already. {more} another --name.")
        return cls(path)

    @classmethod
    def existing(cls, out: str | Path, name: str | None) -> RunFolder:
        """The folder of a run that was begun.

        Args:
            out: where runs lie.
            name: of the run; None takes the one that was worked on last.

        Raises:
            InputError: if there is none.
        """
        out = Path(out)
        runs = {file.parent.name: file.stat().st_mtime for file in out.glob(f"*/{RUN_FILE}")}
        for each in runs:
            checkpoint = out / each / CHECKPOINT
            runs[each] = max(runs[each], checkpoint.stat().st_mtime if checkpoint.is_file() else 0.0)
        if name is None and runs:
            name = max(runs, key=lambda each: runs[each])
        if name is None or name not in runs:
            there = f" Runs there: {', '.join(sorted(runs))}." if runs else ""
            what = f"no run '{name}' in '{out}'" if name else f"no run in '{out}'"
            raise InputError(
                f"There is {what} to go on with.{nearest(name or '', runs)}{there} Without --resume one is begun."
            )
        return cls(out / name)

    def make(self) -> None:
        """Make the folder.

        Raises:
            InputError: if that cannot be done.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The folder '{self.path}' cannot be made: {error.strerror or error}."
            ) from error

    @contextmanager
    def held(self, *, begun: bool) -> Iterator[None]:
        """Keep other processes from training in the folder; the system lets go of it when this one ends in any way.

        Args:
            begun: whether the run is there already; if not, its folder is made.

        Raises:
            InputError: if another process trains in it, or began a run of that name meanwhile.
            MissingExtraError: if filelock is not installed.
        """
        self.make()
        taken = f"Another process is training in {self.path}. Wait until it is done, or begin a run of another --name."
        with held(self.path, taken=taken, what="training", extra="train"):
            if not begun and is_run(self.path):
                raise InputError(f"Another process has just made the run {self.path}. Take another --name.")
            sweep(self.path)
            yield

    @property
    def checkpoint(self) -> Path:
        """The file with the whole state."""
        return self.path / CHECKPOINT

    @property
    def maps(self) -> Path:
        """Where the maps of watched samples lie."""
        return self.path / MAPS

    def write_document(self, document: Mapping[str, Any]) -> None:
        """Write `run.json`.

        Args:
            document: what it says.
        """
        text = json.dumps(finite(dict(document)), ensure_ascii=False, indent=1, allow_nan=False)
        self._write(RUN_FILE, text + "\n")

    def write_split(self, labelled: LabelledImages, split: Split) -> None:
        """Write `split.csv`: each image that is used, and in which part.

        Args:
            labelled: the images.
            split: of them.
        """
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["image", "part"])
        for part, indices in (("train", split.train), ("val", split.val)):
            table.writerows([labelled.names[i], part] for i in indices)
        self._write(SPLIT, text.getvalue())

    def write_results(self, history: Sequence[Row]) -> None:
        """Write `results.csv`, a row for each epoch.

        Args:
            history: the rows, at least one.
        """
        text = io.StringIO()
        table = csv.DictWriter(text, list(history[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(
            {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in history
        )
        self._write(RESULTS, text.getvalue())

    def write_weights(self, model: Any, row: Row, *, best: bool) -> None:
        """Write the model's weights as the last, and as the best if they are.

        Args:
            model: a `torch.nn.Module`.
            row: of the epoch that they are from.
            best: whether no epoch was better.
        """
        header = {name: f"{value:.6g}" for name, value in row.items()}
        for name in (BEST, LAST) if best else (LAST,):
            write_tensors(self.path / name, model.state_dict(), header)

    def write_scores(self, scores: Mapping[str, Any]) -> None:
        """Write `scores.json`: how well the best epoch does on the images that are held out.

        Args:
            scores: as JSON has them.
        """
        self._write(
            SCORES, json.dumps(finite(dict(scores)), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        )

    def write_figure(self, name: str, content: bytes) -> None:
        """Write a picture.

        Args:
            name: of the file.
            content: of the file.
        """
        self._write(name, content)

    def _write(self, name: str, content: str | bytes) -> None:
        path = self.path / name
        try:
            with written_aside(path) as aside:
                aside.write_bytes(content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise InputError(f"{path} could not be written: {error.strerror or error}.") from error


def versions() -> dict[str, str]:
    """The versions of what takes part in a training."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest_of_data(labelled: LabelledImages, split: Split) -> str:
    """A digest of which images there are, their labels and the split, by which a resumed run knows its data again.

    Args:
        labelled: the images.
        split: of them.
    """
    digest = hashlib.sha256("\0".join((*labelled.names, "", *labelled.classes)).encode())
    digest.update(labelled.targets.tobytes())
    digest.update(split.train.tobytes() + b"|" + split.val.tobytes())
    return digest.hexdigest()[:16]


def _check_name(name: str) -> None:
    if not name or name in (".", "..") or Path(name).name != name:
        raise InputError(f"--name {name!r}: a run's name is that of a folder in --out, without a path.")
