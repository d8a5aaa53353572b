"""`fit`: from labelled images to a model that is ready to be explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from camscope.images import Preprocessing
from camscope.training.carrying_out import Run, carry_out
from camscope.training.loop import Objective
from camscope.training.progress import Reporter, Silent
from camscope.training.run_options import RunOptions
from camscope.training.settings import Precision
from camscope.training.training_plan import plan_resuming, plan_training


def fit(
    data: Any = None,
    *,
    model: Any = None,
    weights: str | Path | None = None,
    epochs: int | None = None,
    frozen_epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    accumulate: int | None = None,
    weight_decay: float | None = None,
    label_smoothing: float | None = None,
    class_weights: bool | None = None,
    patience: int | None = None,
    precision: Precision | None = None,
    size: int | None = None,
    preprocessing: Preprocessing | None = None,
    augment: bool = True,
    flips: bool | None = None,
    vertical_flips: bool = False,
    unreadable: float | None = None,
    holdout: float | None = None,
    folds: int | None = None,
    fold: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    device: str | None = None,
    out: str | Path = "runs",
    name: str | None = None,
    resume: bool = False,
    watch: bool | None = None,
    tensorboard: bool = False,
    objective: Objective | None = None,
    checkpoint_seconds: float = 20.0,
    trust_pickle: bool = False,
    reporter: Reporter | None = None,
) -> Run:
    """Train or fine-tune an image classifier and leave a folder that is a model: `camscope.explain(run.folder, photo)`.

        run = camscope.training.fit("photos/", model="timm:resnet18")
        run.best, run.explainer()("photo.jpg")

    The same seed gives the same weights, bit for bit on a CPU (on a GPU as far as its kernels are deterministic),
    however many workers read, whether or not the maps are watched, and however often the run was killed and resumed.
    torch's random state is left as it was.

    Args:
        data: a folder of images, a table, a data set, `sample:NAME`, or `LabelledImages` (what `read_labelled` gives,
            which has more options). With `resume`, None takes what the run was begun with.
        model: None is `gapnet`, a small network from scratch; `demo`, `timm:NAME`, `torchvision:NAME`;
            `FILE.py:FACTORY`, a function that takes `num_classes`; the folder of another run; or a `torch.nn.Module`
            with an output per class, which is trained in place.
        weights: a file of weights to begin with, `random`, or None for the published ones.
        epochs: how many in which everything learns; None: as many as give 400 steps from scratch (4 to 30), 150 in
            fine-tuning (3 to 20).
        frozen_epochs: how many before them in which only the head and the norms learn; None: 1 with trained weights.
        learning_rate: the highest; None: 1e-2 from scratch, 2e-3 in fine-tuning.
        batch_size: images in a batch; None: 64, or 32 of few.
        accumulate: batches in an optimiser step; None: 1.
        weight_decay: of all but norms and biases; None: 0.01.
        label_smoothing: by which share the truth is spread over all classes.
        class_weights: whether classes weigh the more the fewer images they have.
        patience: end after so many epochs that brought nothing better.
        precision: of the forward: `no` (float32), `fp16` or `bf16`.
        size: side of the square input, in pixels.
        preprocessing: how photos are prepared; it comes before `size`.
        augment: whether training images are changed at random.
        flips: whether they are mirrored; None mirrors all but tiny ones.
        vertical_flips: whether they are turned upside down too.
        unreadable: the share of the images that may be missing or unreadable; None: 0.05.
        holdout: the share of the images that is held out, where the data does not say it itself; None: 0.2.
        folds: how many folds; None holds out a share.
        fold: which fold is held out, from 0, which None is too.
        seed: of the split, the head, the order, the changes of images and dropout; None is 0.
        workers: processes that read images.
        device: `cpu`, `cuda` …; None takes the best there is.
        out: the folder that runs lie in.
        name: of the run; None makes one of data and model.
        resume: go on with the run of this name; None as name takes the one that was worked on last. Of all other
            options `epochs` and `patience` may change: with more epochs the schedule is that of the longer run, from
            the step that was reached.
        watch: whether the maps of a few images that are held out are kept while the model learns (`camscope evolve`
            shows them); None keeps them where the model has any.
        tensorboard: whether the numbers, and pictures of the maps, go to TensorBoard too, into the run's folder.
        objective: gives the mean loss of the model, in training, and a `Batch`; None is the loss for the labels. It is
            where a loss on maps belongs.
        checkpoint_seconds: how far checkpoints within an epoch lie apart, at least; there is one at its end too.
        trust_pickle: whether a weights file may run code.
        reporter: who is told how it goes; None tells nobody.

    Raises:
        InputError: if something of the data or of the options makes no sense; if the loss runs away; if a file cannot
            be written.
        ModelError: if the model is unknown, cannot be trained, or a checkpoint is of another one.
        MissingExtraError: if something is not installed.
        KeyboardInterrupt: if Ctrl-C or SIGTERM ended it; a checkpoint was written.
    """
    options = RunOptions(
        model=model,
        weights=weights,
        trust_pickle=trust_pickle,
        unreadable=unreadable,
        holdout=holdout,
        folds=folds,
        fold=fold,
        size=size,
        preprocessing=preprocessing,
        augment=augment,
        flips=flips,
        vertical_flips=vertical_flips,
        epochs=epochs,
        frozen_epochs=frozen_epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        accumulate=accumulate,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        class_weights=class_weights,
        patience=patience,
        precision=precision,
        seed=seed,
        workers=workers,
        device=device,
        out=out,
        name=name,
    )
    plan = plan_resuming(data, options) if resume else plan_training(data, options)
    return carry_out(
        plan,
        reporter=reporter or Silent(),
        watch=watch,
        objective=objective,
        workers=workers,
        device=device,
        checkpoint_seconds=checkpoint_seconds,
        tensorboard=tensorboard,
    )
