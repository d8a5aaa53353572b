"""`camscope evolve`: how a model learned to look, as a figure, an animation and curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from jaxtyping import Bool
from rich.console import Console

from camscope import render
from camscope.cli.file_names import safe
from camscope.cli.out_folder import prepared_folder
from camscope.cli.output import console, print_json
from camscope.cli.request import read_style, read_words
from camscope.cli.showing import plain_table, show_files, show_notes
from camscope.errors import InputError
from camscope.images import read_photo
from camscope.watching import History, Settling
from camscope.watching.heat import Shared
from camscope.watching.settling import mean_over

_MOST_LINES = 30


def evolve(
    run: Path,
    *,
    at: str | None = None,
    steps: str | None = None,
    sample: Annotated[list[str] | None, Parameter(negative="")] = None,
    target: int | None = None,
    box: str | None = None,
    mask: Path | None = None,
    scale: Shared = "map",
    out: Path = Path("camscope-out"),
    animation: Annotated[bool, Parameter(negative="--no-animation")] = True,
    colormap: str | None = None,
    opacity: float = 0.5,
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Show how a model learned to look: the maps of a training, step by step, and how they settle.

    Writes a figure (samples × steps, each with its probability), an animated WebP, and the curves of how looking
    settles: how like the last map each one is, and how much of it lies inside of a box or mask.

    Parameters
    ----------
    run
        The folder of a run (runs/NAME), or the one a camscope.Recorder wrote to.
    at
        Epochs to put side by side in the figure, as in 5,50; 0 is before the training. Default: up to eight looks from
        the first to the last.
    steps
        The same by optimiser steps, as in 1,64,1024; -1 is the last look.
    sample
        Only this sample, by its name, its label or its number from 0; say it again, or separate by commas, for several.
    target
        Only the target with this number, from 0, where several were recorded.
    box
        Where the maps should lie: x0,y0,x1,y1 in pixels of the model's input.
    mask
        The same as a picture (white is inside) or a .npy array, of the size of the model's input.
    scale
        Which maps share a colour scale in the figure: each for itself (map), all of a sample, or all of the history.
    out
        Where the files go.
    animation
        Whether to write the animation.
    colormap
        Any name of the cmap catalogue, such as inferno (the default), magma, viridis, jet.
    opacity
        Of the heatmap on the picture, 0 to 1.
    as_json
        Print machine-readable output on stdout, and nothing else there.
    """
    style = read_style(colormap, opacity)
    history = History.open(run)
    if names := read_words(sample):
        history = history.of_samples([int(name) if _is_number(name, history) else name for name in names])
    region: dict[str, Any] = {
        "box": None if box is None else read_numbers("--box", box, 4),
        "mask": None if mask is None else read_mask(mask),
    }
    settled = history.settling(**region)  # refuses a region that does not fit before anything is written
    shown = _shown(history, at, steps)
    name = safe((history.folder.parent if history.folder.name == "maps" else history.folder).resolve().name)
    written = []
    with prepared_folder(out):
        if history.samples.pictures is not None:
            figure = shown.figure(
                steps=shown.steps.tolist(), target=target, scale=scale, box=region["box"], **style
            )
            written.append(out / f"{name}-evolution.png")
            render.save(figure, written[-1])
        written.append(out / f"{name}-settling.png")
        render.save(history.curve_figure(**region), written[-1])
        if animation and history.samples.pictures is not None:
            written.append(history.animation(out / f"{name}-evolution.webp", target=target, **style))
    if as_json:
        print_json(_facts(history, settled, written))
        return
    _show(console(), history, settled, written)


def read_numbers(option: str, text: str, count: int | None = None) -> list[int]:
    """Whole numbers separated by commas.

    Args:
        option: what they were given to, for the message.
        text: as it was typed.
        count: how many there must be; None takes any number but none.

    Raises:
        InputError: if they are none, or another number of them.
    """
    example = {"--box": "8,8,24,24", "--at": "5,50"}.get(option, "1,64,1024")
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} {text}: expected whole numbers with commas between, as in {option} {example}."
        ) from None
    if count is not None and len(numbers) != count:
        raise InputError(
            f"{option} {text}: expected {count} numbers, as in {option} {example}; got {len(numbers)}."
        )
    return numbers


def read_mask(path: Path) -> Bool[np.ndarray, "*axes"]:
    """A mask from a picture, where light is inside, or from a `.npy` array, where true is.

    Raises:
        InputError: if it cannot be read.
        ImageError: if the picture cannot be.
    """
    if path.suffix.lower() != ".npy":
        return np.asarray(read_photo(path).pixels.convert("L")) > 127
    try:
        return np.load(path, allow_pickle=False).astype(bool)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--mask {path} cannot be read: {reason}") from error


def _is_number(word: str, history: History) -> bool:
    return word.isdigit() and word not in history.samples.names


def _shown(history: History, at: str | None, steps: str | None) -> History:
    """The looks that stand in the figure."""
    if at is not None and steps is not None:
        raise InputError("--at says epochs and --steps says steps: give one of both.")
    if at is not None:
        return history.at_epochs(read_numbers("--at", at))
    return history.at_steps(history.chosen_steps() if steps is None else read_numbers("--steps", steps))


def _means(history: History, settled: Settling) -> dict[str, list[float]]:
    """Means over samples and targets, by what they are called in a table."""
    found = {"probability": mean_over(history.probabilities), "similarity": mean_over(settled.similarity)}
    if settled.mass is not None and settled.pointing is not None:
        found |= {"mass inside": mean_over(settled.mass), "peak inside": mean_over(settled.pointing)}
    return {name: values.tolist() for name, values in found.items() if np.isfinite(values).any()}


def _show(people: Console, history: History, settled: Settling, written: Sequence[Path]) -> None:
    """A line for each look, what is missing, when it settled, and the files."""
    s = history.samples
    people.print(
        f"{s.method} at layer {s.layer}, {len(s)} samples, {len(history)} looks", markup=False, soft_wrap=True
    )
    numbers = [name for name in history.number_names if name != "learning_rate"][:3]
    columns = {name: history.numbers(name).tolist() for name in numbers} | _means(history, settled)
    table = plain_table("step", "epoch", *columns)
    for column in table.columns:
        column.justify = "right"
    places = range(len(history))
    for i in (
        places if len(history) <= _MOST_LINES else [*places[: _MOST_LINES // 2], *places[-_MOST_LINES // 2 :]]
    ):
        moment = history.looks[i].moment
        words = (_number(values[i]) for values in columns.values())
        table.add_row(f"{moment.step:,}", str(moment.epoch) if moment.epoch_end else "", *words)
    people.print(table)
    if settled.settled is not None:
        people.print(
            f"From step {settled.settled:,} on the maps have a similarity above 0.9 to the last ones."
        )
    show_notes(people, [f"step {lost['step']} is missing: {lost['reason']}" for lost in history.missing])
    show_files(people, map(str, written))


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "–"


def _facts(history: History, settled: Settling, written: Sequence[Path]) -> dict[str, Any]:
    """What was kept and found, for a program."""
    s, means = history.samples, _means(history, settled)
    keys = {name: name.replace(" ", "_") for name in means}
    return {
        "folder": str(history.folder),
        "method": s.method,
        "layer": s.layer,
        "samples": [
            {"name": name, "label": label or None} for name, label in zip(s.names, s.labels, strict=True)
        ],
        "looks": [
            {
                "step": look.moment.step,
                "epoch": look.moment.epoch,
                "epoch_end": look.moment.epoch_end,
                "numbers": dict(look.moment.numbers),
                "probabilities": look.probabilities.tolist(),
                "scores": look.scores.tolist(),
                "top": look.top.tolist(),
                "weights_sha256": look.weights,
                **{keys[name]: values[i] for name, values in means.items()},
            }
            for i, look in enumerate(history.looks)
        ],
        "settled": settled.settled,
        "missing": [dict(lost) for lost in history.missing],
        "files": [str(path) for path in written],
    }
