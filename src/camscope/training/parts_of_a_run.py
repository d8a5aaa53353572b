"""Carrying out a plan: the parts are put together, the loop runs, and the folder is filled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from camscope.cores import own_cores
from camscope.errors import InputError, MissingExtraError
from camscope.images import Preprocessing
from camscope.training.batching import Batches
from camscope.training.choosing_input import TINY
from camscope.training.groups import LayerGroup, adamw, layer_groups
from camscope.training.objectives import Loss, balanced_weights, classification_loss
from camscope.training.schedule import Schedule, fine_tuning, from_scratch
from camscope.training.training_plan import Plan

_MOST_WORKERS = 8


@dataclass(frozen=True)
class Parts:
    """What a training runs with.

    Attributes:
        accelerator: of Accelerate.
        model: on its device.
        groups: the model's layer groups.
        optimiser: prepared by the accelerator.
        train: the batches of training.
        val: those that are held out.
        loss: of logits and targets.
    """

    accelerator: Any
    model: Any
    groups: tuple[LayerGroup, ...]
    optimiser: Any
    train: Batches
    val: Batches
    loss: Loss


def put_together(plan: Plan, accelerator: Any, *, workers: int | None) -> Parts:
    """What a training runs with.

    Args:
        plan: what was chosen.
        accelerator: of Accelerate.
        workers: processes that read images; None takes what suits their size.
    """
    import torch

    model = plan.built.model.to(accelerator.device)
    groups = layer_groups(model, plan.built.head if plan.tuning else None)
    settings, labelled = plan.settings, plan.labelled
    reading = {
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        "workers": _workers(workers, plan.preprocessing),
        "unreadable": plan.document["data"]["unreadable"],
        "pin_memory": accelerator.device.type == "cuda",
    }
    weights = None
    if settings.class_weights:
        found = balanced_weights(labelled.targets[plan.parts.train], labelled.multilabel)
        weights = torch.tensor(found, dtype=torch.float32, device=accelerator.device)
    return Parts(
        accelerator=accelerator,
        model=model,
        groups=groups,
        optimiser=accelerator.prepare(adamw(groups, weight_decay=settings.weight_decay)),
        train=Batches(
            labelled,
            plan.parts.train,
            transform=plan.augmentation or plan.preprocessing,
            training=True,
            **reading,
        ),
        val=Batches(labelled, plan.parts.val, transform=plan.preprocessing, **reading),
        loss=classification_loss(labelled.multilabel, smoothing=settings.label_smoothing, weights=weights),
    )


def schedule_of(plan: Plan, groups: int, steps: int) -> Schedule:
    """The learning rates of all steps.

    Args:
        plan: what was chosen.
        groups: how many layer groups there are.
        steps: of an epoch.
    """
    settings = plan.settings
    if not plan.tuning:
        return from_scratch(groups, settings.learning_rate, epochs=settings.epochs, steps_per_epoch=steps)
    return fine_tuning(
        groups,
        settings.learning_rate,
        epochs=settings.epochs,
        frozen_epochs=settings.frozen_epochs,
        steps_per_epoch=steps,
    )


@contextmanager
def accelerated(precision: str, device: str | None) -> Iterator[Any]:
    """An accelerator of Accelerate, which has one state for a process: it is set back if nobody else uses it.

    Args:
        precision: `no`, `fp16` or `bf16`.
        device: `cpu`, `cuda` …; None takes the best there is.

    Raises:
        InputError: if the precision is not the device's, or there are several processes.
        MissingExtraError: if Accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise MissingExtraError("training", "train") from error
    mine = not AcceleratorState._shared_state
    try:
        accelerator = Accelerator(mixed_precision=precision, cpu=device == "cpu")
    except ValueError as error:
        raise InputError(f"precision {precision!r}: {error}") from error
    try:
        if accelerator.num_processes > 1:
            raise InputError(
                f"There are {accelerator.num_processes} processes; a run trains in one. Start it without a launcher."
            )
        if device not in (None, "cpu") and device.partition(":")[0] != accelerator.device.type:
            raise InputError(f"There is no device {device!r} here; the best is {accelerator.device}.")
        if precision == "fp16" and accelerator.device.type == "cpu":
            raise InputError("fp16 needs a GPU. On a CPU take bf16, or nothing (float32).")
        yield accelerator
    finally:
        if mine:
            AcceleratorState._reset_state(reset_partial_state=True)


def _workers(asked: int | None, preprocessing: Preprocessing) -> int:
    """How many processes read images: for tiny ones starting them costs more than they save."""
    if asked is not None:
        return asked
    if max(preprocessing.input_size) <= TINY:
        return 0
    return min(own_cores(), _MOST_WORKERS)
