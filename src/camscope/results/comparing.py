"""Several explanations of the same inputs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from camscope import render
from camscope.arrays import Scale
from camscope.errors import InputError
from camscope.render import Panel
from camscope.results.explanation import Explanation
from camscope.results.figures.labels import MOST_PANELS, agreement, image_name, model_of
from camscope.results.figures.photos import heatmap_panels, style_of
from camscope.results.figures.signals import MOST_ROWS, compared_signals
from camscope.results.map_data import Key

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compare(
    first: Explanation,
    *others: Explanation,
    image: int | None = None,
    target: int = 0,
    labels: Sequence[str] | None = None,
    scale: Scale = "map",
    order: int = 1,
    **style: Any,
) -> Figure:
    """A figure of the same inputs in several explanations: a row for each image, a column for each explanation.

    Of signals each explanation has a row of its own, below that of the first one. With each heatmap stands how much it
    agrees with the first one: the correlation r of the two heatmaps on the photo or the signal.

        camscope.compare(before, after)                       # two models
        camscope.compare(e["gradcam"], e["layercam"])         # two methods of one explanation

    Args:
        first: an explanation with one method at one layer.
        others: at least one more, of the same images in the same order.
        image: the number of one image; None shows all, or the first ones of more than are legible.
        target: the number of the target that is shown.
        labels: what each explanation is called; None says in what they differ: model, method, layer.
        scale: see `camscope.arrays.normalise.Scale`.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        style: options of `camscope.render.figure`: colormap, opacity, title …; of signals those of
            `camscope.render.signal_figure`, and `rate`, `channels`, `show`.

    Raises:
        InputError: if there is nothing to compare with, an explanation has several maps, or they are of other images.
        IndexError: if there is no such image.

    Example:
        >>> first, second = (camscope.explain(model, x, methods=m) for m in ("gradcam", "eigencam"))
        >>> camscope.compare(first, second).savefig("two.png")
    """
    every = (first, *others)
    keys = [_only_map(e, number) for number, e in enumerate(every)]
    _check(every, target, labels)
    images = range(len(first)) if image is None else [first.number(image)]
    heads, common = [*(labels or _differences(every, keys))], _in_common(every, keys)
    if first.of_signals:
        most = max(1, MOST_ROWS // len(every)) if image is None else 1
        said = [*common, *_left_out(first, images[:most], images)]
        return compared_signals(
            every,
            keys,
            images[:most],
            target=target,
            heads=heads,
            said=said,
            scale=scale,
            order=order,
            **style,
        )
    shown = images[: max(1, MOST_PANELS // (1 + len(every)))]
    rows = []
    for i in shown:
        photo = first.input_image(i)
        columns = []
        for number, (e, (method, layer)) in enumerate(zip(every, keys, strict=True)):
            if e.input_image(i).picture.size != photo.picture.size:
                raise InputError(
                    f"Image {i} is {photo.picture.size} pixels in the first explanation and "
                    f"{e.input_image(i).picture.size} in number {number}: they are not of the same images."
                )
            columns += heatmap_panels(e, i, method, layer, scale=scale, order=order, targets=[target])
        rows.append([Panel(photo.picture, None, image_name(first, i)), *_with_agreement(columns)])
    style.setdefault("column_labels", ["", *heads])
    caption = " · ".join([*common, *_left_out(first, shown, images)])
    return render.figure(rows, **style_of(style, scale, caption))


def _only_map(e: Explanation, number: int) -> Key:
    if len(e.raw) != 1:
        method, layer = next(iter(e.raw))
        raise InputError(
            f"Explanation {number} has {len(e.raw)} maps of each target. Say which is compared: "
            f"e[{method!r}, {layer!r}]."
        )
    return next(iter(e.raw))


def _check(every: Sequence[Explanation], target: int, labels: Sequence[str] | None) -> None:
    if len(every) < 2:
        raise InputError(
            "One explanation was given; compare takes two or more: camscope.compare(before, after)."
        )
    nouns = [*dict.fromkeys(e.noun for e in every)]
    if len(nouns) > 1 or every[0].of_texts:
        raise InputError(
            f"The explanations are of {' and '.join(f'{noun}s' for noun in nouns)}; compare takes several of images, "
            "or several of signals."
        )
    sizes = {len(e) for e in every}
    if len(sizes) > 1:
        raise InputError(
            f"The explanations are of {' and '.join(map(str, sorted(sizes)))} images; expected the same."
        )
    if labels is not None and len(labels) != len(every):
        raise InputError(f"{len(labels)} labels were given for {len(every)} explanations.")
    least = min(len(e.targets[0]) for e in every)
    if not 0 <= target < least:
        raise InputError(
            f"target={target}: the explanations have {least} targets in common, 0 to {least - 1}."
        )


def _left_out(first: Explanation, shown: Sequence[int], images: Sequence[int]) -> list[str]:
    return [f"the first {len(shown)} of {len(images)} {first.noun}s"] if len(shown) < len(images) else []


def _with_agreement(panels: Sequence[Panel]) -> list[Panel]:
    """The panels, each with its correlation with the first."""
    first = panels[0].heatmap
    return [panels[0], *(_said(panel, first) for panel in panels[1:])]


def _said(panel: Panel, first: np.ndarray | None) -> Panel:
    assert panel.heatmap is not None
    assert first is not None
    subtitle = " · ".join(filter(None, [panel.subtitle, agreement(panel.heatmap, first)]))
    return replace(panel, subtitle=subtitle)


def _facts(every: Sequence[Explanation], keys: Sequence[Key]) -> list[tuple[str, ...]]:
    """The model, the method and the layer of each."""
    return [(model_of(e), *key) for e, key in zip(every, keys, strict=True)]


def _differences(every: Sequence[Explanation], keys: Sequence[Key]) -> list[str]:
    """In what the explanations differ; their numbers where it is in nothing that has a name."""
    facts = _facts(every, keys)
    differing = [i for i in range(3) if len({fact[i] for fact in facts}) > 1]
    if not differing:
        return [f"explanation {number + 1}" for number in range(len(facts))]
    return [" · ".join(fact[i] for i in differing) for fact in facts]


def _in_common(every: Sequence[Explanation], keys: Sequence[Key]) -> list[str]:
    facts = _facts(every, keys)
    return [facts[0][i] for i in range(3) if len({fact[i] for fact in facts}) == 1]
