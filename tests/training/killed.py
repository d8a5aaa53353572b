"""Trainings in processes that can be killed. They are forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from torch.nn.functional import cross_entropy

from camscope.training import fit
from tests.training.conftest import stripes

NET = """
from torch import nn

def make(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.3),
        nn.Conv2d(8, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(8, num_classes),
    )
"""
OPTIONS = {"epochs": 3, "frozen_epochs": 1, "batch_size": 8, "seed": 3, "name": "run", "watch": False}
STEPS = 4 * 4
"""38 images to train on, in batches of 8, in 4 epochs."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.training.killed", "accelerate"])


def model_in(folder: Path) -> str:
    """The network's name, whose file is written."""
    (folder / "net.py").write_text(NET)
    return f"{folder}/net.py:make"


class Training:
    """A training in a process, in a folder.

    Args:
        folder: where the run lies.
        resume: whether it goes on.
        options: of `fit`.
    """

    def __init__(self, folder: Path, *, resume: bool = False, **options: Any) -> None:
        self._steps, theirs = _processes.Pipe(duplex=False)
        options = {**OPTIONS, "model": model_in(folder), "out": folder, "resume": resume, **options}
        self._process = _processes.Process(target=_train, args=(theirs, options))
        self._process.start()
        theirs.close()

    def signal_after(self, steps: int, number: int) -> int | None:
        """Send a signal when so many steps have begun; gives the exit code."""
        self.send_after(steps, number)
        return self.end()[1]

    def send_after(self, steps: int, number: int) -> None:
        """Send a signal when so many steps have begun."""
        for _ in range(steps):
            self._steps.recv()
        os.kill(self._process.pid, number)

    def end(self) -> tuple[int, int | None]:
        """How many more steps it does, and its exit code."""
        count = 0
        try:
            while True:
                self._steps.recv()
                count += 1
        except EOFError:
            self._process.join()
        return count, self._process.exitcode


def _train(steps: Connection, options: dict[str, Any]) -> None:
    def objective(model: Any, batch: Any) -> Any:
        steps.send("step")
        time.sleep(0.02)
        return cross_entropy(model(batch.x), batch.y)

    fit(stripes(), objective=objective, checkpoint_seconds=0.05, **options)
