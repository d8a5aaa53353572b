"""The training loop: batches, steps, epochs, and a checkpoint now and then."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeAlias

from camscope.errors import InputError
from camscope.surviving import Stop
from camscope.training.batching import Batch, Batches
from camscope.training.groups import LayerGroup
from camscope.training.objectives import Loss
from camscope.training.progress import Now, Progress, Reporter, Row
from camscope.training.schedule import Schedule, enter_step

Objective: TypeAlias = Callable[[Any, Batch], Any]
"""From the model, in training, and a batch to the mean loss."""

_SHOW_SECONDS = 0.1
_SAVE_SHARE = 0.02
"""Checkpoints within an epoch take no more than this share of the time."""


class Watcher(Protocol):
    """Who looks at the model while it trains, and changes nothing: a `camscope.watching.Recorder`."""

    def step(self, model: Any, *, loss: Any, learning_rate: float) -> Any:
        """After an optimiser step.

        Args:
            model: as it is now.
            loss: of the step, a tensor.
            learning_rate: of the head.
        """

    def epoch(self, model: Any, **facts: float) -> Any:
        """After an epoch."""


@dataclass(frozen=True)
class Keeper:
    """What the loop asks of who keeps its files.

    Attributes:
        save: writes a checkpoint.
        epoch: writes what belongs to an epoch that ended, and the model's weights if it is the best so far.
    """

    save: Callable[[Progress], None]
    epoch: Callable[[Progress, bool], None]


@dataclass
class Loop:
    """A training, from where its progress says it is to the end.

    Attributes:
        accelerator: of Accelerate: device, precision, backward.
        model: on its device.
        optimiser: prepared by the accelerator.
        groups: the model's layer groups.
        schedule: of all steps.
        batches: of training.
        validate: gives the numbers of an epoch's row.
        objective: gives the loss of a batch.
        epochs: how many there are in all.
        accumulate: batches in an optimiser step.
        score: by which epochs are compared.
        keeper: of the files.
        reporter: who is told.
        stop: set by signals.
        patience: end after so many epochs without a better one.
        watcher: who looks at the model; or None.
        save_seconds: how long after the last checkpoint another is written within an epoch, at least.
        progress: where it stands.
    """

    accelerator: Any
    model: Any
    optimiser: Any
    groups: Sequence[LayerGroup]
    schedule: Schedule
    batches: Batches
    validate: Callable[[], Row]
    objective: Objective
    epochs: int
    accumulate: int
    score: str
    keeper: Keeper
    reporter: Reporter
    stop: Stop
    patience: int | None = None
    watcher: Watcher | None = None
    save_seconds: float = 20.0
    progress: Progress = field(default_factory=Progress)

    def run(self) -> None:
        """Train to the end.

        Raises:
            InputError: if the loss is no number any more, or a checkpoint cannot be written.
            KeyboardInterrupt: if a signal asked for the end; a checkpoint was written.
        """
        self._losses: list[tuple[Any, int]] = []
        self._begun = self._shown = self._saved = time.monotonic()
        self._done = 0
        self._price = 0.0
        while self.progress.epoch < self.epochs and not self._run_out_of_patience():
            self._train()
            self._end_epoch()

    def _train(self) -> None:
        """The rest of an epoch."""
        p, per_epoch = self.progress, steps_per_epoch(self.batches, self.accumulate)
        begun, before = time.monotonic(), p.seconds
        self.model.train()
        left = self.batches.epoch(p.epoch, start=(p.step - p.epoch * per_epoch) * self.accumulate)
        for group in _grouped(self._read(left), self.accumulate):
            self._step(group)
            p.step += 1
            p.seconds = before + time.monotonic() - begun
            if self.watcher is not None:
                rate = self.schedule.at(p.step - 1).learning_rates[-1]
                self.watcher.step(self.model, loss=self._losses[-1][0], learning_rate=rate)
            self._show()
            if self.stop.signal:
                self._end_here()
            if self._due():
                self._save()

    def _read(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches, until one cannot be read because a signal has ended the processes that read them."""
        try:
            yield from batches
        except RuntimeError:
            if not self.stop.signal:
                raise
            self._end_here()

    def _step(self, group: Sequence[Batch]) -> None:
        """One step of the optimiser, from one batch or several."""
        enter_step(self.progress.step, self.schedule, self.groups, self.optimiser)
        images = sum(len(batch.x) for batch in group)
        for batch in group:
            moved = Batch(*(part.to(self.accelerator.device, non_blocking=True) for part in batch))
            with self.accelerator.autocast():
                loss = self.objective(self.model, moved)
            self.accelerator.backward(loss * (len(moved.x) / images) if len(group) > 1 else loss)
            self._losses.append((loss.detach(), len(moved.x)))
        self.optimiser.step()
        self.optimiser.zero_grad()
        self._done += images

    def _count_losses(self) -> None:
        """Add up the losses that are still on the device: asking for each at once would make it wait.

        Raises:
            InputError: if one is no number.
        """
        p = self.progress
        for loss, images in self._losses:
            value = float(loss)
            if not math.isfinite(value):
                self._give_up(value)
            p.loss += value * images
            p.images += images
        self._losses.clear()

    def _give_up(self, value: float) -> NoReturn:
        step = self.progress.step
        rate = self.schedule.at(max(step - 1, 0)).learning_rates[-1]
        raise InputError(
            f"The loss is {value} by step {step}, at a learning rate of {rate:.1e}: the weights have run away. The "
            "last checkpoint is from before. Train anew with a lower learning rate (--lr; --find-lr looks for one), or "
            "in float32 if it was half precision."
        )

    def _end_epoch(self) -> None:
        self._count_losses()
        p = self.progress
        begun = time.monotonic()
        numbers = self.validate()
        if not math.isfinite(numbers["val_loss"]):
            self._give_up(numbers["val_loss"])
        rate = self.schedule.at(p.step - 1).learning_rates[-1]
        seconds = p.seconds + time.monotonic() - begun
        head = {
            "epoch": p.epoch + 1,
            "step": p.step,
            "learning_rate": rate,
            "train_loss": p.loss / max(p.images, 1),
        }
        p.end_epoch({**head, **numbers, "seconds": round(seconds, 3)})
        row = p.history[-1]
        best = p.best(self.score) is row
        if self.watcher is not None:
            # What the frames of an animation have room for comes first; epoch and step the history knows itself.
            seen = {**numbers, **{name: head[name] for name in ("train_loss", "learning_rate")}}
            self.watcher.epoch(self.model, **seen)
        self.keeper.epoch(p, best)
        self._save()
        self.reporter.epoch(row, best)
        if self.stop.signal:
            raise KeyboardInterrupt

    def _run_out_of_patience(self) -> bool:
        best = self.progress.best(self.score)
        return (
            self.patience is not None
            and best is not None
            and self.progress.epoch - int(best["epoch"]) >= self.patience
        )

    def _due(self) -> bool:
        """Whether the last checkpoint is long ago, by what it costs to write one."""
        waited = time.monotonic() - self._saved
        return waited > max(self.save_seconds, self._price / _SAVE_SHARE)

    def _save(self) -> None:
        begun = time.monotonic()
        self._count_losses()
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            self._give_up(math.nan)
        self.keeper.save(self.progress)
        self._saved = time.monotonic()
        self._price = self._saved - begun

    def _end_here(self) -> NoReturn:
        self._save()
        raise KeyboardInterrupt

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._shown < _SHOW_SECONDS:
            return
        self._shown = now
        self._count_losses()
        p, steps = self.progress, self.schedule.steps
        per_image = (now - self._begun) / max(self._done, 1)
        per_step = self.batches.batch_size * self.accumulate * per_image
        self.reporter.step(
            Now(
                step=p.step,
                steps=steps,
                epoch=p.epoch + 1,
                epochs=self.epochs,
                loss=p.loss / max(p.images, 1),
                images_per_second=1 / per_image,
                seconds_left=(steps - p.step) * per_step,
            )
        )


def steps_per_epoch(batches: Batches, accumulate: int) -> int:
    """How many optimiser steps an epoch has.

    Args:
        batches: of training.
        accumulate: batches in a step; the last may have fewer.
    """
    return math.ceil(len(batches) / accumulate)


def plain_objective(loss: Loss) -> Objective:
    """A loss of the model's logits and the targets."""

    def objective(model: Any, batch: Batch) -> Any:
        return loss(model(batch.x), batch.y)

    return objective


def _grouped(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    while group := list(itertools.islice(batches, size)):
        yield group
