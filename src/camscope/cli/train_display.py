"""What people see of a training: the plan before it, numbers while it runs, how well it does after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from camscope.cli.showing import plain_table, show_notes
from camscope.training.carrying_out import Run
from camscope.training.progress import Now, Row
from camscope.training.run_folder import CONFUSION, CURVES, MAPS
from camscope.training.summary import Summary
from camscope.training.training_plan import Plan

_MOST_CLASSES = 20
_LISTED = 3

_COLUMNS = {
    "epoch": ("epoch", "5d"),
    "train_loss": ("loss", "8.4f"),
    "val_loss": ("held out", "8.4f"),
    "accuracy": ("accuracy", "8.2%"),
    "macro_f1": ("macro F1", "8.2%"),
    "mean_average_precision": ("mAP", "8.2%"),
    "learning_rate": ("rate", "8.1e"),
    "seconds": ("time", "6"),
}
"""Of an epoch's row: the heading and the format."""


def show_plan(people: Console, plan: Plan) -> None:
    """The data, the model and how it is trained, before it is.

    Args:
        people: where they read.
        plan: what was chosen.
    """
    summary = plan.summary
    kind = "several labels each" if summary.multilabel else "one label each"
    people.print(
        f"[bold]{escape(summary.origin or 'data')}[/]: {summary.images} images of {len(summary.train)} classes, {kind}"
        f"{_sizes(summary)}",
        soft_wrap=True,
    )
    train, val = len(plan.parts.train), len(plan.parts.val)
    people.print(f"{train} to train on, {val} held out ({escape(summary.how)})", soft_wrap=True)
    _show_classes(people, summary)
    show_notes(people, [*_warnings(summary), *summary.notes, *plan.notes])
    _show_model(people, plan)
    s = plan.settings
    batches = max(1, train // s.batch_size)  # what fills no batch is left out
    frozen = f"{_epochs(s.frozen_epochs)} with the body frozen, then " if s.frozen_epochs else ""
    people.print(
        f"{frozen}{_epochs(s.epochs)}; {batches} batch{'' if batches == 1 else 'es'} of {s.batch_size} in each; "
        f"learning rate up to {s.learning_rate:g}; seed {s.seed}",
        soft_wrap=True,
    )


def _epochs(count: int) -> str:
    return f"{count} epoch{'' if count == 1 else 's'}"


def _show_classes(people: Console, summary: Summary) -> None:
    names = list(summary.train)
    total = {name: summary.train[name] + summary.val[name] for name in names}
    shown = names
    if len(names) > _MOST_CLASSES:
        by_size = sorted(names, key=lambda name: -total[name])
        shown = [*by_size[:_LISTED], *by_size[-_LISTED:]]
    table = plain_table("class", "train", "held out")
    for column in table.columns[1:]:
        column.justify = "right"
    for place, name in enumerate(shown):
        if len(names) > len(shown) and place == _LISTED:
            table.add_row(f"… {len(names) - len(shown)} more …", "", "")
        table.add_row(escape(name), str(summary.train[name]), str(summary.val[name]))
    people.print(table)


def _sizes(summary: Summary) -> str:
    if summary.sizes is None:
        return ""
    least, median, most = (f"{w}×{h}" for h, w in summary.sizes)
    return f", {median} pixels" if least == most else f", {least} to {most} pixels (median {median})"


def _warnings(summary: Summary) -> Iterator[str]:
    """What is odd about the data."""
    if summary.skipped:
        reasons = _some([f"{name} ({reason})" for name, reason in summary.skipped])
        yield f"{_images_are(len(summary.skipped))} left out: {reasons}"
    if summary.unlabelled:
        yield f"{summary.unlabelled} image{' has' if summary.unlabelled == 1 else 's have'} no class"
    if summary.imbalance >= 5:
        times = f"{summary.imbalance:.0f} times as many images as the smallest"
        yield f"the largest class has {times} (--class-weights makes up for it)"
    for groups, what in (
        (summary.duplicates, "there more than once"),
        (summary.contradictions, "there with different labels"),
        (summary.leaks, "both trained on and held out, which flatters the model"),
    ):
        if groups:
            yield f"{_images_are(len(groups))} {what}: {_some([' = '.join(group) for group in groups])}"


def _images_are(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


def _some(words: Sequence[str]) -> str:
    more = f" … ({len(words)})" if len(words) > _LISTED else ""
    return f"{'; '.join(words[:_LISTED])}{more}"


def _show_model(people: Console, plan: Plan) -> None:
    model, p = plan.built.model, plan.preprocessing
    count = sum(parameter.numel() for parameter in model.parameters())
    learnt = "pretrained" if plan.built.pretrained else "from scratch"
    height, width = p.input_size
    people.print(
        f"[bold]{escape(plan.document['model']['spec'] or type(model).__name__)}[/]: {count:,} parameters, {learnt}; "
        f"input {len(p.mean)}×{height}×{width}, mean {_few(p.mean)}, std {_few(p.std)}",
        soft_wrap=True,
    )
    people.print(f"training images are changed: {_changes(plan)}", soft_wrap=True)


def _changes(plan: Plan) -> str:
    a = plan.augmentation
    if a is None:
        return "not at all"
    words = [
        f"cropped ({a.area:.0%} to 100% of the area)" if a.area < 1 else "",
        f"moved by up to {a.shift} pixel{'s' if a.shift > 1 else ''}" if a.shift else "",
        "mirrored" if a.flip else "",
        "turned upside down" if a.vertical else "",
        f"rotated by up to {a.rotate:g}°" if a.rotate else "",
        f"lit ±{a.lighting:.0%}" if a.lighting else "",
    ]
    return ", ".join(word for word in words if word) or "not at all"


def _few(values: Sequence[float]) -> str:
    return "/".join(f"{value:.3f}" for value in values)


class Live:
    """A line of numbers for each epoch; on a terminal a bar under them for the moment.

    Args:
        people: where they read.
        plan: what is trained.
    """

    def __init__(self, people: Console, plan: Plan) -> None:
        self._people, self._score = people, plan.score
        self._frozen = plan.settings.frozen_epochs
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(12),
            TextColumn("{task.fields[numbers]}"),
            console=people,
            transient=True,
            disable=not people.is_terminal,
        )
        self._task: TaskID | None = None
        self._headed = False
        self._held_out = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar, and take it away again."""
        with self._bar:
            yield

    def step(self, now: Now) -> None:
        """Show a moment."""
        if self._task is None:
            self._task = self._bar.add_task("", numbers="")
        self._bar.update(
            self._task,
            description=f"epoch {now.epoch}/{now.epochs}",
            completed=now.step,
            total=now.steps,
            numbers=f"loss {now.loss:.3f}{self._held_out}  {_rate(now.images_per_second)} images/s  "
            f"{duration(now.seconds_left)} left",
        )

    def epoch(self, row: Row, best: bool) -> None:
        """Show an epoch.

        Args:
            row: in numbers.
            best: whether it is the best so far.
        """
        if not self._headed:
            self._headed = True
            self._people.print(
                "  ".join(_heading(name, several=self._score != "accuracy") for name in _COLUMNS), style="dim"
            )
        self._held_out = f"  {_COLUMNS[self._score][0]} {row[self._score]:.1%}"
        cells = [_cell(name, row[name]) for name in _COLUMNS]
        self._people.print("  ".join([*cells, *(["best"] if best else [])]), markup=False, soft_wrap=True)
        if row["epoch"] == self._frozen:
            self._people.print("from here on everything learns", style="dim")


def _heading(name: str, *, several: bool) -> str:
    """A column's heading. Of images with several labels those are exactly right that have no label wrong."""
    heading, form = _COLUMNS[name]
    if several and name == "accuracy":
        heading = "exact"
    return heading.rjust(int(form.split(".")[0].rstrip("d")))


def _cell(name: str, value: float) -> str:
    width = int(_COLUMNS[name][1].split(".")[0].rstrip("d"))
    if name == "seconds":
        return duration(value).rjust(width)
    if np.isnan(value):
        return "–".rjust(width)
    return format(int(value) if name == "epoch" else value, _COLUMNS[name][1])


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """A time for people: 4.2 s, 3:05, 1:02:09."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def show_run(people: Console, run: Run) -> None:
    """How well the best epoch does, class by class, and where everything is.

    Args:
        people: where they read.
        run: that is done.
    """
    found = run.judged.performance
    best = run.best
    people.print(
        f"\nBest: epoch {int(best['epoch'])} of {len(run.history)}, {run.score.replace('_', ' ')} "
        f"{best[run.score]:.2%} on what was held out",
        style="bold",
        soft_wrap=True,
    )
    table = plain_table("class", "images", "precision", "recall", "F1", "AP")
    for column in table.columns[1:]:
        column.justify = "right"
    order = np.arange(len(run.classes))
    if len(order) > _MOST_CLASSES:
        order = np.argsort(np.nan_to_num(found.f1, nan=2.0), kind="stable")[: _MOST_CLASSES // 2]
    for index in order:
        numbers = (found.precision, found.recall, found.f1, found.average_precision)
        table.add_row(
            escape(run.classes[index]), str(found.images[index]), *(_share(each[index]) for each in numbers)
        )
    people.print(table)
    if len(order) < len(run.classes):
        people.print(f"(the {len(order)} worst of {len(run.classes)}; all are in scores.json)", style="dim")
    pictures = [name for name in (CURVES, CONFUSION) if (run.folder / name).is_file()]
    people.print(
        f"wrote {run.folder}: {', '.join(['best.safetensors', 'results.csv', *pictures])}", soft_wrap=True
    )
    people.print("Try next:", style="bold")
    people.print(f"  camscope explain PHOTO --model {_word(run.folder)}", markup=False, soft_wrap=True)
    if (run.folder / MAPS).is_dir():
        people.print(
            f"  camscope evolve {_word(run.folder)}   # how it learned to look", markup=False, soft_wrap=True
        )


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1%}"


def _word(folder: Path) -> str:
    """A folder as a model's name: one that could be taken for another kind of name says that it is a path."""
    import shlex

    return shlex.quote(str(folder))
