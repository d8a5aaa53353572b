"""What stands in a figure of a judgement; `camscope.render` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from camscope import render
from camscope.render import Cloud, Level, Levels, Panel, SignalRow, VerdictRow
from camscope.results.figures.labels import caption_of
from camscope.results.figures.options import naming_unknown_options
from camscope.results.figures.photos import heatmap_panels
from camscope.results.figures.signals import signal_row
from camscope.trust import sentences
from camscope.trust.findings import Findings
from camscope.trust.verdict import Interval, Judged, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_ROWS = 24
"""The most maps in a figure."""


def verdict_figure(
    maps: Findings,
    image: int = 0,
    *,
    target: int | None = None,
    method: str | None = None,
    layer: str | None = None,
    **style: Any,
) -> Figure:
    """The maps of one image beside what their verdicts rest on; see `Judgement.figure`.

    Args:
        maps: the judged maps.
        image: the number of the image.
        target: the number of the target; None shows all.
        method: show only this method; None shows all.
        layer: show only this layer; None shows all.
        style: options of `camscope.render.verdict_figure`.
    """
    found = maps.chosen(image, target, method, layer)
    options = {**_words(maps, found), **style}
    with naming_unknown_options(style, render.verdict_figure):
        return render.verdict_figure(_rows(maps, found[:_MOST_ROWS]), **options)


def _words(maps: Findings, rows: Sequence[Judged]) -> dict[str, str]:
    """The title, the caption and the names of the axes: what is in common stands in the caption."""
    e, first = maps.explanation, rows[0]
    methods, layers, targets = (
        [*dict.fromkeys(names)]
        for names in zip(*((row.method, row.layer, row.target) for row in rows), strict=True)
    )
    more = [f"the first {_MOST_ROWS} of {len(rows)} maps"] if len(rows) > _MOST_ROWS else []
    caption = caption_of(
        e,
        methods if len(methods) == 1 else (),
        layers if len(layers) == 1 else (),
        [*maps.trials(rows), *more],
    )
    if first.mistake:
        caption = f"{sentences.of_mistake(rows)}\n{caption}"
    axes = {
        "level_label": "fidelity (rank correlation)",
        "x_label": "evidence removed (share of the map)",
        "y_label": f"loss of {maps.score}",
    }
    if len(rows) == 1:
        title = sentences.headline(first, maps.evidence(first))
        if first.verdict is not Verdict.UNJUDGED:  # or else the reason stands in place of the bars
            why = sentences.reasons(first, maps.probes_of(first))
            caption = f"{why[:1].upper()}{why[1:]}.\n{caption}"
        return {**axes, "title": title, "caption": caption}
    of = maps.evidence(first) if len(targets) == 1 else "the evidence"
    return {**axes, "title": sentences.count_of_maps(rows, of), "caption": caption}


def _rows(maps: Findings, rows: Sequence[Judged]) -> list[VerdictRow]:
    """The maps as they are drawn, each with what tells it from the others."""
    targets = len({row.target for row in rows}) > 1
    layers = len({row.layer for row in rows}) > 1
    return [
        VerdictRow(
            _shown(maps, row),
            row.method,
            " · ".join([row.target] * targets + [row.layer] * layers),
            row.verdict,
            _numbers(row),
            _levels(row),
            _clouds(maps, row),
        )
        for row in rows
    ]


def _numbers(row: Judged) -> str:
    """What stands under a verdict."""
    if row.verdict is Verdict.UNJUDGED:
        return row.why
    return f"{sentences.share_of_ceiling(row)} of its ceiling · p = {sentences.p_value(row.p)}"


def _shown(maps: Findings, row: Judged) -> Panel | SignalRow | None:
    """The map on its photo or its signal; None where the input is neither."""
    e, target = maps.explanation, maps.target_of(row)
    if e.input_images.has(row.image):
        (panel,) = heatmap_panels(e, row.image, row.method, row.layer, targets=[target])
        return panel
    if e.input_images.has_signal(row.image):
        return signal_row(e, row.image, target, (row.method, row.layer))
    return None


def _levels(row: Judged) -> Levels:
    """How well a map does, beside its baselines, chance and its ceiling."""
    others = tuple(
        _level(sentences.plain(name), compared.fidelity) for name, compared in row.baselines.items()
    )
    return Levels(_level("this map", row.fidelity), others, _level("chance", row.chance), row.ceiling)


def _level(name: str, given: Interval) -> Level:
    return Level(name, given.value, given.low, given.high)


def _clouds(maps: Findings, row: Judged) -> tuple[Cloud, ...]:
    """What each probe removes of a map and what the score loses by it, by the imputer."""
    probed = maps.probed(row)
    if probed is None or row.verdict is Verdict.UNJUDGED:
        return ()
    target = maps.target_of(row)
    removed = probed.removed.reshape(len(probed.removed), -1) @ (row.cells / np.abs(row.cells).sum()).ravel()
    by = np.array(probed.imputers)
    return tuple(
        Cloud(
            f"{sentences.plain(name)}, ρ = {sentences.number(row.by_imputer[name])}",
            removed[by == name],
            probed.drops[by == name, target],
        )
        for name in dict.fromkeys(probed.imputers)
    )
