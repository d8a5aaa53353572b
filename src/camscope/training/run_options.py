"""What a training may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camscope.images import Preprocessing
from camscope.training.settings import Precision


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a training may be asked for; None stands for what suits the data and the model.

    Attributes:
        model: `gapnet` (if None), `demo`, `timm:NAME`, `torchvision:NAME`, `FILE.py:FACTORY`, the folder of another
            run, or a `torch.nn.Module` with as many outputs as there are classes.
        weights: a file of weights to begin with, `random`, or None for the published ones.
        trust_pickle: whether a weights file may run code.
        reading: how the data is read, as keywords of `read_labelled`.
        unreadable: the share of the images that may be missing or unreadable; None: 0.05.
        holdout: the share of the images that is held out, where the data does not say it itself; None: 0.2.
        folds: how many folds; None holds out a share.
        fold: which fold is held out, from 0, which None is too.
        size: side of the square input, in pixels.
        preprocessing: how photos are prepared; it comes before `size`.
        augment: whether training images are changed at random.
        flips: whether they are mirrored; None mirrors all but tiny ones.
        vertical_flips: whether they are turned upside down too.
        epochs, frozen_epochs, learning_rate, batch_size, accumulate, weight_decay, label_smoothing, class_weights,
            patience, precision, seed: see `Settings`.
        workers: processes that read images; None takes as many as there are cores for large images, at most 8.
        device: `cpu`, `cuda` …; None takes the best there is.
        out: the folder that runs lie in.
        name: of the run.
    """

    model: Any = None
    weights: str | Path | None = None
    trust_pickle: bool = False
    reading: Mapping[str, Any] = field(default_factory=dict)
    unreadable: float | None = None
    holdout: float | None = None
    folds: int | None = None
    fold: int | None = None
    size: int | None = None
    preprocessing: Preprocessing | None = None
    augment: bool = True
    flips: bool | None = None
    vertical_flips: bool = False
    epochs: int | None = None
    frozen_epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    accumulate: int | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None
    class_weights: bool | None = None
    patience: int | None = None
    precision: Precision | None = None
    seed: int | None = None
    workers: int | None = None
    device: str | None = None
    out: str | Path = "runs"
    name: str | None = None
