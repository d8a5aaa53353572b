"""Figures of a training: maps of the samples over its steps, an animation, and the curve of how looking settles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from camscope import render
from camscope.errors import InputError
from camscope.render import Curve, Panel, Tile
from camscope.watching.heat import Shared, enlarged, heatmaps, overlays, pictures_of
from camscope.watching.looks import Look, Moment
from camscope.watching.records import Records
from camscope.watching.settling import Settling, boxes_for, mean_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCALES = {
    "map": "each map fills the colour scale by itself",
    "sample": "the maps of a row share one colour scale",
    "history": "all maps share one colour scale",
}


def evolution_figure(
    records: Records,
    *,
    target: int | None = None,
    most_rows: int | None = 12,
    scale: Shared = "map",
    box: Sequence[float] | Sequence[Sequence[float]] | None = None,
    **style: Any,
) -> Figure:
    """Samples × looks: the input first, then a heatmap for each look with its probability.

    Args:
        records: the looks that are shown.
        target: show only the target with this number; None shows all.
        most_rows: of more samples and targets the first ones are shown, and the caption says so; None shows all.
        scale: which maps share a colour scale: `map`, `sample` or `history`; the caption says which.
        box: outlined in every panel: x0, y0, x1, y1 in pixels of the model's input; or one such for each sample.
        style: options of `camscope.render.figure`.

    Raises:
        InputError: if the samples are no pictures, or an option is not valid.
    """
    s, pictures = records.samples, pictures_of(records.samples)
    rows, left_out = _rows(records, target, most_rows)
    grounds = [enlarged(picture) for picture in pictures]
    size = (grounds[0].height, grounds[0].width)
    heat = heatmaps(records.maps, s, shared=scale, size=size)
    edges = None if box is None else boxes_for(s, box) * (size[0] / s.input_size[0])
    changing, panels = _changing(records, rows), []
    for sample, t in rows:
        x0, y0, x1, y1 = (0, 0, 0, 0) if edges is None else edges[sample].round().astype(int).tolist()
        boxes = [] if edges is None else [(x0, y0, x1, y1)]
        looks = [
            Panel(
                grounds[sample],
                heat[i, sample, t],
                look.titles[sample][t] if (sample, t) in changing else "",
                _number(look, sample, t, mark=(sample, t) not in changing),
                boxes,
                look.statuses[sample][t],
            )
            for i, look in enumerate(records.looks)
        ]
        panels.append([Panel(grounds[sample], None, "", "", boxes), *looks])
    caption = [
        str(s.about.get("model_name") or s.about.get("model")),
        f"{s.method} at layer {s.layer}",
        _SCALES[scale],
        *(["✓ the top class"] if len(changing) < len(rows) and (records.classes >= 0).any() else []),
        *([f"the first {len(rows)} of {left_out + len(rows)}: samples=[…] shows others"] if left_out else []),
    ]
    drawn = {"caption": " · ".join(caption), "panel_inches": 1.25, **style}
    return render.figure(
        panels,
        row_labels=[row_title(records, sample, t) for sample, t in rows],
        column_labels=["input", *(moment_title(look.moment) for look in records.looks)],
        **drawn,
    )


def animation(
    records: Records,
    path: str | Path,
    *,
    target: int | None = None,
    most_tiles: int | None = 20,
    seconds: float = 0.6,
    **style: Any,
) -> Path:
    """Write an animated WebP: a frame for each look, each map on its own colour scale.

    Args:
        records: the looks that are shown.
        path: where to; the suffix is `.webp`.
        target: show only the target with this number; None shows all.
        most_tiles: of more samples and targets the first ones are shown; None shows all.
        seconds: how long each look is shown; the last one is shown longer.
        style: options of `camscope.render.overlay`.

    Raises:
        InputError: if the samples are no pictures, or the path is none.
    """
    rows, _ = _rows(records, target, most_tiles)
    last = max(int(records.steps[-1]), 1)
    titles = {(i, t): row_title(records, i, t) for i, t in rows}
    changing, frames = _changing(records, rows), []
    for look, maps in zip(records.looks, records.maps, strict=True):
        laid = overlays(maps, records.samples, **style)
        tiles = [
            Tile(
                laid[i][t],
                " · ".join([titles[i, t], *([look.titles[i][t]] if (i, t) in changing else [])]),
                _finite(look.probabilities[i, t]),
            )
            for i, t in rows
        ]
        facts = [f"{name} {value:.3g}" for name, value in _shown_numbers(look.moment)]
        done = look.moment.step / last
        frames.append(
            render.animation_frame(tiles, left=_moment_words(look.moment), right="  ".join(facts), done=done)
        )
    render.save_animation(frames, path, seconds=seconds)
    return Path(path)


def settling_figure(records: Records, settled: Settling, **style: Any) -> Figure:
    """The curves of how looking settles: the mean over samples and targets, and thinly each of them.

    Args:
        records: what was kept.
        settled: the curves.
        style: options of `camscope.render.curve_figure`.
    """
    curves = [_curve("like the last map", settled.similarity)]
    if settled.mass is not None and settled.pointing is not None:
        curves += [
            _curve("mass inside", settled.mass),
            Curve("peak inside", mean_over(settled.pointing)),
        ]
    if np.isfinite(records.probabilities).any():
        curves.append(Curve("probability", mean_over(records.probabilities)))
    ends = {int(look.moment.step): str(look.moment.epoch) for look in records.looks if look.moment.epoch_end}
    s = records.samples
    caption = [
        f"mean over {len(s)} samples; thin lines: each of them",
        "similarity: cosine to the last map",
        f"{s.method} at layer {s.layer}",
    ]
    given = {
        "title": "How looking settles",
        "caption": " · ".join(caption),
        "above": ends,
        "above_label": "epoch",
        **style,
    }
    return render.curve_figure(records.steps.tolist(), curves, **given)


def row_title(records: Records, sample: int, target: int) -> str:
    """What a row of maps is called: the sample's label, and whatever tells it from others.

    Args:
        records: what was kept.
        sample: the number of the sample.
        target: the number of the target.
    """
    s = records.samples
    titles = {look.titles[sample][target] for look in records.looks}
    title = titles.pop() if len(titles) == 1 else ""
    label, name = s.labels[sample], s.names[sample]
    named = label in PurePath(name).parts[:-1]  # cat/3.jpg is a cat
    words = [label] if label and s.labels.count(label) == 1 else [name, "" if named else label]
    if title and title != label:
        words.append(f"as {title}" if label else title)
    return " · ".join(dict.fromkeys(word for word in words if word))


def moment_title(moment: Moment) -> str:
    """What a column of maps is called."""
    if moment.step == 0:
        return "before"
    return f"epoch {moment.epoch}" if moment.epoch_end else f"step {moment.step:,}"


def _moment_words(moment: Moment) -> str:
    if moment.step == 0:
        return "before the training"
    return f"step {moment.step:,}" + (f" · epoch {moment.epoch}" if moment.epoch_end else "")


def _shown_numbers(moment: Moment) -> list[tuple[str, float]]:
    """The numbers that a frame has room for."""
    found = [(name, value) for name, value in moment.numbers.items() if isinstance(value, float)]
    return [(name, value) for name, value in found if name != "learning_rate"][:2]


def _number(look: Look, sample: int, target: int, *, mark: bool) -> str:
    """A map's probability, or its score if there is none; marked where its class is the top one."""
    probability = look.probabilities[sample, target]
    number = f"{look.scores[sample, target]:.3g}" if np.isnan(probability) else f"{probability:.0%}"
    is_top = look.classes[sample, target] >= 0 and look.classes[sample, target] == look.top[sample]
    return f"{number} ✓" if mark and is_top else number


def _changing(records: Records, rows: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """The samples and targets of which not always the same was explained: the top class of each moment, say."""
    return {(s, t) for s, t in rows if len({look.titles[s][t] for look in records.looks}) > 1}


def _rows(records: Records, target: int | None, most: int | None) -> tuple[list[tuple[int, int]], int]:
    """The samples and targets that are shown, and how many are left out."""
    count = records.looks[0].maps.shape[1]
    if target is not None and not 0 <= target < count:
        raise InputError(f"target={target}: the history has {count}, 0 to {count - 1}.")
    targets = range(count) if target is None else [target]
    pairs = [(sample, t) for sample in range(len(records.samples)) for t in targets]
    return pairs[:most], max(0, len(pairs) - (most or len(pairs)))


def _curve(name: str, values: Float[np.ndarray, "step sample target"]) -> Curve:
    return Curve(name, mean_over(values), values.reshape(len(values), -1).T)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
