"""Runs in processes that can be killed. They are forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

import camscope.runs.run_rows
from camscope.runs.running import run
from camscope.runs.shard_engine import Progress

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.runs.killable"])

OPTIONS = {"shard_size": 8, "batch": 4, "workers": 1}


def explainer() -> camscope.Explainer:
    """The model, which each process makes anew."""
    preprocessing = camscope.Preprocessing(input_size=(32, 32), resize=(32, 32), crop="squash")
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    return camscope.Explainer(network.eval(), preprocessing=preprocessing)


class Running:
    """A run in a process.

    Args:
        data: what it is of.
        out: its folder.
        options: of `run`.
    """

    def __init__(self, data: Path | str, out: Path, **options: Any) -> None:
        self._told, theirs = _processes.Pipe(duplex=False)
        self.process = _processes.Process(target=_run, args=(theirs, data, out, {**OPTIONS, **options}))
        self.process.start()
        theirs.close()

    def hears(self) -> Any:
        """What it tells next: the number of images done, `(done, stopped)` or an error's text; None if it is dead."""
        try:
            return self._told.recv()
        except EOFError:
            return None

    def heard(self) -> list[Any]:
        """All that it tells until it ends."""
        return list(iter(self.hears, None))

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self) -> int | None:
        """Wait for its end; gives the exit code."""
        self.process.join()
        return self.process.exitcode


def _run(pipe: Any, data: Path | str, out: Path, options: dict[str, Any]) -> None:

    def told(progress: Progress) -> None:
        if not progress.begun:
            pipe.send(progress.now)

    try:
        model = options.pop("model", None) or explainer()
        done = run(data, model=model, out=out, progress=told, **options)
        pipe.send(("done", done.progress.now, done.complete))
    except camscope.CamscopeError as error:
        pipe.send(str(error))
