"""What a recorder costs a training.

    python benchmarks/watching_price.py              # digits on a noisy canvas, 360 steps; some minutes
    python benchmarks/watching_price.py --epochs 30 --samples 16

What is spent in the recorder's calls is held against the rest of the same training, in processor time and one thread:
on a shared machine two trainings differ by more than a recorder costs. A recorder at its defaults should cost at most
2 %. What its first look in a process loads is said apart: it is paid once. The weights are compared with those of a
training without.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import cyclopts
import numpy as np
import torch
from rich.console import Console
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import camscope
from speed import processor


def digits_on_canvas() -> tuple[torch.Tensor, torch.Tensor]:
    """Digits of 16² at random places of a noisy canvas of 48²."""
    random, digits = np.random.default_rng(0), load_digits()
    canvas = random.normal(0, 0.15, (len(digits.target), 1, 48, 48)).astype(np.float32)
    for image, digit in zip(canvas, digits.images, strict=True):
        y, x = random.integers(0, 33, 2)
        image[0, y : y + 16, x : x + 16] += np.kron(digit / 16, np.ones((2, 2)))
    return torch.from_numpy(canvas), torch.from_numpy(digits.target)


def gapnet() -> nn.Sequential:
    """Two stages of two convolutions, the first with a stride; GAP; linear."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inside, outside, stride in ((1, 16, 2), (16, 16, 1), (16, 32, 1), (32, 32, 1)):
        layers += [nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def train(
    x: torch.Tensor, y: torch.Tensor, epochs: int, recorder: camscope.Recorder | None = None
) -> tuple[float, float, dict[str, torch.Tensor]]:
    """Train on all but the last 297. Gives the processor time of the training and of the recorder, and the weights."""
    model, count = gapnet(), 1500
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.01)
    steps = epochs * -(-count // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps, pct_start=0.25)
    start, spent = time.process_time(), 0.0

    def watch(look: Callable[[camscope.Recorder], None]) -> None:
        nonlocal spent
        before = time.process_time()
        if recorder is not None:
            look(recorder)
        spent += time.process_time() - before

    watch(lambda r: r.start(model))
    for _ in range(epochs):
        for rows in torch.randperm(count).split(64):
            loss = functional.cross_entropy(model(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rates = schedule.get_last_lr()
            watch(partial(camscope.Recorder.step, model=model, loss=loss, learning_rate=rates))
            schedule.step()
        model.eval()
        with torch.no_grad():
            metric = (model(x[count:]).argmax(1) == y[count:]).float().mean()
        model.train()
        watch(partial(camscope.Recorder.epoch, model=model, metric=metric))
    return time.process_time() - start - spent, spent, model.state_dict()


def main(*, epochs: int = 15, samples: int = 8, repeats: int = 5) -> None:
    """Train, and print the share."""
    torch.set_num_threads(1)
    x, y = digits_on_canvas()
    people = Console()
    people.print(f"{processor()}, one thread; torch {torch.__version__}; medians of {repeats}")
    with tempfile.TemporaryDirectory() as folder:

        def recorder(name: str) -> camscope.Recorder:
            return camscope.Recorder(Path(folder) / name, x[-samples:], labels=y[-samples:])

        before = time.process_time()
        recorder("first").start(gapnet())
        first = time.process_time() - before
        *_, alone = train(x, y, epochs)
        rests, shares = [], []
        for i in range(repeats):
            rest, spent, weights = train(x, y, epochs, recorder(str(i)))
            rests.append(rest)
            shares.append(spent / rest)
            assert all(torch.equal(alone[name], weights[name]) for name in alone)
        history = camscope.History.open(Path(folder) / "0")
        size = sum(path.stat().st_size for path in (Path(folder) / "0").iterdir())
    people.print(
        f"{len(history)} looks at {samples} samples in {history.steps[-1]} steps: {median(shares):.1%} of the "
        f"{median(rests):.1f} s that the training takes; the same weights, bit for bit; {size / 1e3:.0f} kB kept\n"
        f"the first look in a process, which loads what it needs: {first:.2f} s, once"
    )


if __name__ == "__main__":
    cyclopts.run(main)
