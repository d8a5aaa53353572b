"""The numbers of a training in TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from camscope.errors import MissingPackageError
from camscope.training.progress import Now, Reporter, Row

TENSORBOARD = "tensorboard"


@contextmanager
def tensorboard_writer(run: Path, step: int) -> Iterator[Any]:
    """A `SummaryWriter` into a folder of the run.

    Args:
        run: the run's folder.
        step: from which the training goes on; what was written of later steps is dropped.

    Raises:
        MissingPackageError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackageError("--tensorboard", "tensorboard") from error
    with SummaryWriter(run / TENSORBOARD, purge_step=step + 1) as writer:
        yield writer


class Noting:
    """A reporter that tells another one, and writes each epoch's numbers down.

    Args:
        reporter: the other one.
        writer: a `SummaryWriter`.
    """

    def __init__(self, reporter: Reporter, writer: Any) -> None:
        self._reporter, self._writer = reporter, writer

    def step(self, now: Now) -> None:
        """Pass a moment on."""
        self._reporter.step(now)

    def epoch(self, row: Row, best: bool) -> None:
        """Write an epoch down.

        Args:
            row: in numbers.
            best: whether it is the best so far.
        """
        for name, value in row.items():
            if name not in ("epoch", "step"):
                self._writer.add_scalar(name.replace("_loss", "/loss"), value, int(row["step"]))
        self._writer.flush()
        self._reporter.epoch(row, best)
