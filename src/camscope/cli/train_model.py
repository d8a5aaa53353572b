"""`camscope train`: labelled images in; a folder out that is a model, ready to be explained."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from camscope.cli.files import read_class_names
from camscope.cli.output import console, print_json, quiet_stdout, without_warnings
from camscope.cli.showing import show_notes
from camscope.cli.train_display import Live, show_plan, show_run
from camscope.errors import InputError
from camscope.render import save
from camscope.training.carrying_out import Run, carry_out
from camscope.training.finding_rate import rate_of
from camscope.training.run_options import RunOptions
from camscope.training.settings import Precision
from camscope.training.training_plan import Plan, plan_resuming, plan_training

_NO_DATA = (
    "Which images? Give a folder with a folder for each class, a table (.csv, .parquet), or a sample set: "
    "camscope train sample:digits. With --resume nothing is needed."
)
_SEPARATOR = "|"
_STOPPED = 130
"""The exit status of a command that Ctrl-C ended."""

Flag = Annotated[bool, Parameter(negative="")]


def train(
    data: str | None = None,
    *,
    model: str | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    size: int | None = None,
    frozen_epochs: int | None = None,
    weights: str | None = None,
    images: Path | None = None,
    path: str | None = None,
    column: str | None = None,
    label: str | None = None,
    separator: str | None = None,
    multilabel: Flag = False,
    classes: Path | None = None,
    unreadable: float | None = None,
    holdout: float | None = None,
    folds: int | None = None,
    fold: int | None = None,
    seed: int | None = None,
    flips: bool | None = None,
    vertical_flips: Flag = False,
    augment: bool = True,
    class_weights: Flag = False,
    label_smoothing: float | None = None,
    weight_decay: float | None = None,
    accumulate: int | None = None,
    mixed_precision: Precision | None = None,
    patience: int | None = None,
    workers: int | None = None,
    device: str | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
    resume: Flag = False,
    watch: bool | None = None,
    tensorboard: Flag = False,
    find_lr: Flag = False,
    dry_run: Flag = False,
    trust_pickle: Flag = False,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> int:
    """Train or fine-tune an image classifier; its folder is then a model: camscope explain PHOTO --model runs/NAME.

    The same seed gives the same weights, however many workers read and however often it was stopped and resumed.

    Parameters
    ----------
    data
        A folder with a folder of images for each class (perhaps inside train/ and val/), a table (.csv, .tsv,
        .parquet), or sample:digits, sample:faces, sample:silhouettes, sample:mnist.
    model
        gapnet (a small network from scratch; the default), demo (EfficientNet-Lite0 with ImageNet weights), timm:NAME,
        torchvision:NAME, FILE.py:FACTORY (a function that takes num_classes), or the folder of another run.
    epochs
        How many in which everything learns. Default: as many as give 400 steps from scratch, 150 in fine-tuning. May
        grow on --resume.
    lr
        The highest learning rate. Default: 1e-2 from scratch, 2e-3 in fine-tuning. --find-lr looks for one.
    batch_size
        Images in a batch. Default: 64, or 32 where there are few.
    size
        Side of the square input in pixels. Default: the model's own; of gapnet that of tiny images, else 128.
    frozen_epochs
        How many epochs before the others only the head and the norms learn. Default: 1 of a pretrained model.
    weights
        A weights file to begin with, or `random`. Default: the published ones.
    images
        Of a table: the folder that its paths are relative to.
    path
        Of a table: how an image's path is made of its columns, such as "{ID}.jpg".
    column
        Of a table: the column of paths, instead.
    label
        Of a table: the column of labels.
    separator
        Of a table: what stands between the labels of an image that may have several, such as "|".
    multilabel
        An image may have several labels (in a table, separated by "|" unless --separator says otherwise).
    classes
        A text file with one class name per line, in the order of the model's outputs. Default: all there are.
    unreadable
        The share of the images that may be missing or unreadable. Default: 0.05.
    holdout
        The share of the images that is held out, if there is no val/. Default: 0.2.
    folds
        So many folds instead, of which --fold is held out.
    fold
        Which, from 0.
    seed
        Of everything that is drawn. Default: 0.
    flips
        Mirror training images. Default: all but tiny ones.
    vertical_flips
        Turn them upside down too.
    augment
        Change training images at random.
    class_weights
        Classes weigh the more the fewer images they have.
    label_smoothing
        By which share the truth is spread over all classes, such as 0.1.
    weight_decay
        Default: 0.01.
    accumulate
        Batches in an optimiser step.
    mixed_precision
        fp16 (GPU) or bf16. Default: no.
    patience
        End after so many epochs that brought nothing better.
    workers
        Processes that read images.
    device
        cpu, cuda … Default: the best there is.
    out
        The folder that runs lie in.
    name
        Of the run. Default: made of data and model.
    resume
        Go on with the run of this --name, or with the one that was worked on last.
    watch
        Keep the maps of a few images that are held out, from the first steps on: `camscope evolve runs/NAME` shows
        them. Default: where the model has maps.
    tensorboard
        Send the numbers, and pictures of the maps, to TensorBoard too: tensorboard --logdir runs
    find_lr
        Only look for a learning rate, and write its plot.
    dry_run
        Only show what would be done.
    trust_pickle
        Read a weights file that can run code. Only for files you would run as a program.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    if data is None and not resume:
        raise InputError(_NO_DATA)
    reading: dict[str, Any] = {"images": images, "path": path, "column": column, "labels": label}
    reading["separator"] = _SEPARATOR if multilabel and separator is None else separator
    reading["classes"] = None if classes is None else read_class_names(classes)
    options = RunOptions(
        model=model,
        weights=weights,
        trust_pickle=trust_pickle,
        reading={word: value for word, value in reading.items() if value is not None},
        unreadable=unreadable,
        holdout=holdout,
        folds=folds,
        fold=fold,
        size=size,
        augment=augment,
        flips=flips,
        vertical_flips=vertical_flips,
        epochs=epochs,
        frozen_epochs=frozen_epochs,
        learning_rate=lr,
        batch_size=batch_size,
        accumulate=accumulate,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        class_weights=class_weights or None,
        patience=patience,
        precision=mixed_precision,
        seed=seed,
        workers=workers,
        device=device,
        out=out,
        name=name,
    )
    people = console(stderr=as_json)
    with quiet_stdout(as_json), without_warnings():
        with people.status("looking at the images …") if people.is_terminal else nullcontext():
            plan = plan_resuming(data, options) if resume else plan_training(data, options)
        show_plan(people, plan)
        if dry_run:
            people.print("Nothing was trained or written (--dry-run).")
            facts: dict[str, Any] | None = {"plan": plan.document, "summary": plan.summary.to_dict()}
        elif find_lr:
            facts = _find(people, plan, options)
        else:
            facts = _run(people, plan, options, watch=watch, tensorboard=tensorboard)
    if as_json and facts is not None:
        print_json(facts)
    return _STOPPED if facts is None else 0


def _run(
    people: Console, plan: Plan, options: RunOptions, *, watch: bool | None, tensorboard: bool
) -> dict[str, Any] | None:
    """Train; what a program is told, or None if it was stopped."""
    live = Live(people, plan)
    try:
        with live.shown():
            run = carry_out(
                plan,
                reporter=live,
                watch=watch,
                workers=options.workers,
                device=options.device,
                tensorboard=tensorboard,
            )
    except KeyboardInterrupt:
        again = ["camscope", "train", "--resume", "--name", plan.folder.path.name]
        if str(options.out) != "runs":
            again += ["--out", str(options.out)]
        people.print("Stopped; a checkpoint was written. Go on with it:", style="bold")
        people.print(f"  {shlex.join(again)}", markup=False, soft_wrap=True)
        return None
    show_run(people, run)
    show_notes(people, [note for note in run.notes if note not in plan.notes])
    return _facts(run)


def _find(people: Console, plan: Plan, options: RunOptions) -> dict[str, Any]:
    """Look for a learning rate; what a program is told."""
    found = rate_of(plan, device=options.device)
    picture = Path(options.out) / f"{plan.folder.path.name}-lr.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    save(found.figure(), picture)
    people.print(f"Suggested: --lr {found.suggestion:.1e}", style="bold")
    people.print(f"wrote {picture}", markup=False, soft_wrap=True)
    rates, losses = found.rates.tolist(), found.losses.tolist()
    return {"suggestion": found.suggestion, "rates": rates, "losses": losses, "figure": str(picture)}


def _facts(run: Run) -> dict[str, Any]:
    """What a program is told."""
    return {
        "folder": str(run.folder),
        "best": run.best,
        "score": run.score,
        "history": list(run.history),
        "scores": run.judged.to_dict(run.classes),
        "notes": list(run.notes),
    }
