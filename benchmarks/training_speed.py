"""Training: images a second as a multiple of a plain PyTorch loop with the same transforms and workers.

    python benchmarks/training_speed.py                     # GapNet on silhouettes, 28², read in the process itself
    python benchmarks/training_speed.py --model demo --size 96 --images 128 --workers 1

Both sides train an epoch of the same model on the same images, in turns: measure.py. The plain loop is what one writes
by hand: a DataLoader, AdamW, OneCycleLR, and the loss asked for at every step. Ours has the same steps and looks at the
maps as well where it says so; its first look, which is made once in a run, is not counted. Neither validates or saves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import cyclopts
import numpy as np
import torch
from rich.console import Console
from torch.nn.functional import cross_entropy

from camscope.surviving import Stop
from camscope.training import read_labelled
from camscope.training.loop import Keeper, Loop, plain_objective, steps_per_epoch
from camscope.training.parts_of_a_run import Parts, accelerated, put_together, schedule_of
from camscope.training.progress import Progress, Silent
from camscope.training.randomness import draws
from camscope.training.run_options import RunOptions
from camscope.training.training_plan import Plan, plan_training
from camscope.training.watched_run import recorder_of
from measure import paired


class Plain(torch.utils.data.Dataset):
    """The training images of a plan, changed as ours are."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __len__(self) -> int:
        return len(self.plan.parts.train)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        index = int(self.plan.parts.train[place])
        photo = self.plan.labelled.photo(index)
        x = self.plan.augmentation(photo, draws(0, 0, index))
        return torch.from_numpy(x), int(self.plan.labelled.targets[index].argmax())


def plain_epoch(plan: Plan, model: Any, workers: int) -> Callable[[], object]:
    """An epoch as one writes it by hand."""
    settings = plan.settings
    loader = torch.utils.data.DataLoader(
        Plain(plan),
        settings.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )

    def work() -> None:
        optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=len(loader) + 1
        )
        model.train()
        total = 0.0
        for x, y in loader:
            loss = cross_entropy(model(x), y)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            total += loss.item() * len(x)

    return work


def our_epoch(plan: Plan, parts: Parts, watcher: Any = None) -> Callable[[], object]:
    """An epoch of our loop."""
    steps = steps_per_epoch(parts.train, 1)

    def work() -> None:
        Loop(
            accelerator=parts.accelerator,
            model=parts.model,
            optimiser=parts.optimiser,
            groups=parts.groups,
            schedule=schedule_of(plan, len(parts.groups), steps),
            batches=parts.train,
            validate=lambda: {"val_loss": 0.0, plan.score: 0.0},
            objective=plain_objective(parts.loss),
            epochs=1,
            accumulate=1,
            score=plan.score,
            keeper=Keeper(lambda progress: None, lambda progress, best: None),
            reporter=Silent(),
            stop=Stop(),
            watcher=watcher,
            progress=Progress(),
        ).run()

    return work


def main(
    *,
    data: str = "sample:silhouettes",
    model: str = "gapnet",
    images: int = 1500,
    size: int | None = None,
    workers: int = 0,
    repeats: int = 7,
) -> None:
    """Print the throughput of both.

    Args:
        data: what is trained on.
        model: which model.
        images: how many of them.
        size: side of the input.
        workers: processes that read images.
        repeats: rounds that count.
    """
    labelled = read_labelled(data)
    labelled = labelled.of(np.random.default_rng(0).permutation(len(labelled))[:images])
    with tempfile.TemporaryDirectory() as folder, accelerated("no", "cpu") as accelerator:
        options = RunOptions(model=model, size=size, out=folder, frozen_epochs=0, batch_size=32)
        plan, theirs, watched = (plan_training(labelled, options) for _ in range(3))
        parts = put_together(plan, accelerator, workers=workers)
        others = put_together(watched, accelerator, workers=workers)
        recorder = recorder_of(watched)
        recorder.start(others.model)
        works = {
            "camscope": our_epoch(plan, parts),
            "camscope, watching": our_epoch(watched, others, recorder),
        }
        found = paired(plain_epoch(theirs, theirs.built.model, workers), works, repeats, torch.device("cpu"))
    trained = len(parts.train) * 32
    console = Console(width=100)
    console.print(
        f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {model}, {trained} images of "
        f"{'×'.join(map(str, plan.preprocessing.input_size))} in batches of 32, {workers} worker(s)"
    )
    for name, time in found.items():
        console.print(
            f"{name:20} {1 / time.ratio:5.2f} × a plain loop's images a second  ({trained / time.seconds:,.0f}/s)"
        )


if __name__ == "__main__":
    cyclopts.run(main)
