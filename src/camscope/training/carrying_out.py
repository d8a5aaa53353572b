"""Carrying out a plan: the loop runs, the folder is filled, and a model comes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camscope.engine import Explainer
from camscope.errors import CamscopeError, InputError
from camscope.libraries.training_runs import BEST
from camscope.libraries.weights import fill
from camscope.outputs import Task
from camscope.render import png
from camscope.surviving import Stop, stopped_by_signals
from camscope.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from camscope.training.curves import confusion_figure, curves_figure
from camscope.training.loop import Keeper, Loop, Objective, plain_objective, steps_per_epoch
from camscope.training.parts_of_a_run import Parts, accelerated, put_together, schedule_of
from camscope.training.progress import Progress, Reporter, Row
from camscope.training.run_folder import CONFUSION, CURVES
from camscope.training.tensorboard_numbers import Noting, tensorboard_writer
from camscope.training.training_plan import Plan
from camscope.training.validation import Judged, judge
from camscope.training.watched_run import recorder_of
from camscope.watching import Recorder


@dataclass(frozen=True)
class Run:
    """A training that is done.

    Attributes:
        folder: what it left; `--model FOLDER` explains its best model.
        model: that of the best epoch, in eval mode, with its `preprocessing` and `class_names`.
        classes: the names of its outputs.
        task: what they mean.
        history: a row of numbers for each epoch.
        score: the name of the score by which epochs were compared.
        judged: how well the best epoch does on the images that were held out.
        notes: what a careful reader should be told.
    """

    folder: Path
    model: Any
    classes: tuple[str, ...]
    task: Task
    history: tuple[Row, ...]
    score: str
    judged: Judged
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        best = self.best
        score = f"{self.score.replace('_', ' ')} {best[self.score]:.4g}"
        epoch = f"epoch {int(best['epoch'])} of {len(self.history)}"
        return f"Run('{self.folder}': {score} in {epoch}, {len(self.classes)} classes)"

    @property
    def best(self) -> Row:
        """The row of the best epoch, whose weights are the model's."""
        found = Progress(history=list(self.history)).best(self.score)
        assert found is not None
        return found

    def explainer(self) -> Explainer:
        """An explainer of the model."""
        return Explainer(self.model, task=self.task)


def carry_out(
    plan: Plan,
    *,
    reporter: Reporter,
    watch: bool | None = None,
    objective: Objective | None = None,
    workers: int | None = None,
    device: str | None = None,
    checkpoint_seconds: float = 20.0,
    tensorboard: bool = False,
) -> Run:
    """Train as planned.

    Args:
        plan: what was chosen.
        reporter: who is told how it goes.
        watch: whether maps are kept while the model learns; None keeps them where the model has any.
        objective: gives the mean loss of the model and a batch; None is the loss for the labels.
        workers: processes that read images; None takes what suits their size.
        device: `cpu`, `cuda` …; None takes the best there is.
        checkpoint_seconds: how far checkpoints within an epoch lie apart, at least; there is one at its end too.
        tensorboard: whether the numbers, and pictures of the maps, go to TensorBoard too.

    Raises:
        InputError: if the loss runs away, a file cannot be written, the run has all its epochs already, or another
            process trains in its folder.
        ModelError: if the checkpoint is of another model.
        MissingExtraError: if Accelerate is not installed.
        KeyboardInterrupt: if a signal ended it; a checkpoint was written.
    """
    import torch

    settings = plan.settings
    with ExitStack() as held, torch.random.fork_rng(), accelerated(settings.precision, device) as accelerator:
        if plan.resumed:
            held.enter_context(plan.folder.held(begun=True))
        kept = read_checkpoint(plan.folder.checkpoint) if plan.resumed else None
        progress = Progress() if kept is None else Progress.from_facts(kept.facts["progress"])
        _check_epochs_left(plan, progress)
        torch.manual_seed(settings.seed)
        parts = put_together(plan, accelerator, workers=workers)
        if not plan.resumed:
            held.enter_context(plan.folder.held(begun=False))
        _begin(plan)
        if kept is not None:
            kept.restore(parts.model, parts.optimiser, accelerator.scaler)
        board = tensorboard_writer(plan.folder.path, progress.step) if tensorboard else nullcontext()
        with stopped_by_signals() as stop, board as writer:
            told = reporter if writer is None else Noting(reporter, writer)
            loop = _loop(plan, parts, progress, objective, told, stop)
            loop.save_seconds = checkpoint_seconds
            loop.watcher, note = _watcher(plan, parts.model, progress, watch, writer)
            loop.run()
        for group in parts.groups:
            group.freeze(False)
        fill(parts.model, plan.folder.path / BEST)
        judged = judge(parts.model, parts.val, parts.loss, accelerator)
        _finish(plan, progress, judged)
    model = parts.model
    model.preprocessing, model.class_names = plan.preprocessing, list(plan.labelled.classes)
    return Run(
        folder=plan.folder.path,
        model=model,
        classes=plan.labelled.classes,
        task=plan.document["task"],
        history=tuple(progress.history),
        score=plan.score,
        judged=judged,
        notes=(*plan.notes, *note, *_unreadable(plan, parts)),
    )


def _unreadable(plan: Plan, parts: Parts) -> Iterator[str]:
    """What could not be read while it trained: damage that the look before it does not see."""
    found = parts.train.unreadable | parts.val.unreadable
    if found:
        named = "; ".join(f"{plan.labelled.names[i]} ({reason})" for i, reason in list(found.items())[:3])
        yield f"{len(found)} images could not be read and were left out: {named}{' …' if len(found) > 3 else ''}"


def _watcher(
    plan: Plan, model: Any, progress: Progress, watch: bool | None, writer: Any
) -> tuple[Recorder | None, tuple[str, ...]]:
    """Who looks at the model while it trains; or why nobody does."""
    if watch is False:
        return None, ()
    try:
        recorder = recorder_of(plan, writer)
        if plan.resumed:
            recorder.from_step(progress.step, epoch=progress.epoch)
        recorder.start(model)
    except CamscopeError as error:
        if watch:
            raise
        return None, (f"Its maps were not kept: {error}",)
    return recorder, ()


def _loop(
    plan: Plan,
    parts: Parts,
    progress: Progress,
    objective: Objective | None,
    reporter: Reporter,
    stop: Stop,
) -> Loop:
    settings, folder = plan.settings, plan.folder
    steps = steps_per_epoch(parts.train, settings.accumulate)

    def save(progress: Progress) -> None:
        facts = {"progress": progress.facts()}
        checkpoint = Checkpoint.of(parts.model, parts.optimiser, facts, parts.accelerator.scaler)
        write_checkpoint(folder.checkpoint, checkpoint)

    def keep_epoch(progress: Progress, best: bool) -> None:
        folder.write_weights(parts.model, progress.history[-1], best=best)
        folder.write_results(progress.history)

    def validate() -> Row:
        return judge(parts.model, parts.val, parts.loss, parts.accelerator).row

    return Loop(
        accelerator=parts.accelerator,
        model=parts.model,
        optimiser=parts.optimiser,
        groups=parts.groups,
        schedule=schedule_of(plan, len(parts.groups), steps),
        batches=parts.train,
        validate=validate,
        objective=objective or plain_objective(parts.loss),
        epochs=settings.all_epochs,
        accumulate=settings.accumulate,
        score=plan.score,
        keeper=Keeper(save, keep_epoch),
        reporter=reporter,
        stop=stop,
        patience=settings.patience,
        progress=progress,
    )


def _check_epochs_left(plan: Plan, progress: Progress) -> None:
    settings = plan.settings
    if progress.epoch >= settings.all_epochs:
        # --epochs counts those after the frozen ones.
        more = 2 * max(settings.epochs, progress.epoch - settings.frozen_epochs)
        raise InputError(
            f"{plan.folder.path} has all of its {progress.epoch} epochs: there is nothing to go on with. "
            f"--epochs {more} trains it longer (epochs={more} in Python)."
        )


def _begin(plan: Plan) -> None:
    """The files that a run begins with; a resumed one has them, but may have more epochs now."""
    if not plan.resumed:
        plan.folder.make()
        plan.folder.write_split(plan.labelled, plan.parts)
    plan.folder.write_document(plan.document)


def _finish(plan: Plan, progress: Progress, judged: Judged) -> None:
    folder = plan.folder
    title = f"{folder.path.name}: {plan.document['model']['spec'] or 'model'}"
    folder.write_figure(CURVES, png(curves_figure(progress.history, plan.score, title)))
    confusion = judged.performance.confusion
    if confusion is not None:
        folder.write_figure(CONFUSION, png(confusion_figure(confusion, plan.labelled.classes, title)))
    folder.write_scores(judged.to_dict(plan.labelled.classes))
