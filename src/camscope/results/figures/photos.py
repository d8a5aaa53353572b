"""Figures of pictures: heatmaps by target, heatmaps by method and layer, and the channels that a map is the sum of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from camscope import render
from camscope.arrays import Scale, place, scaled, to_numpy
from camscope.errors import InputError, either
from camscope.images import Geometry
from camscope.render import Panel
from camscope.results.figures.drawing import Drawing
from camscope.results.figures.labels import MOST_PANELS, caption_of, colours_of, numbers_of
from camscope.results.figures.registry import figure_kind
from camscope.results.map_data import pick
from camscope.results.maps import Maps
from camscope.targets import TargetInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARED = ("image", "batch")
"""The scales that several targets share."""

_MOST_TARGETS = 19
"""The most heatmaps that a notebook shows by itself, besides the photo."""


def overlay(
    e: Maps,
    image: int,
    target: int,
    method: str,
    layer: str,
    *,
    colormap: str = render.DEFAULT,
    opacity: float = 0.5,
    scale: Scale = "map",
    order: int = 1,
    colorbar: bool = False,
) -> Image.Image:
    """One heatmap on the photo as the person has it.

    Args:
        e: the explanation.
        image: the number of the image in the batch.
        target: the number of the target.
        method: one of `e.methods`.
        layer: one of `e.layers`.
        colormap: any name of the cmap catalogue, `jet` and `magma` included.
        opacity: how much of the colours covers the photo, 0 (only the photo) to 1 (only the colours).
        scale: see `camscope.arrays.normalise.Scale`.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        colorbar: whether to attach a colour bar.

    Raises:
        InputError: if the input is not a picture, a name is not among those explained, or an option is not valid.
    """
    style: dict[str, Any] = {"colormap": colormap, "opacity": opacity, "scale": scale, "order": order}
    (picture,) = overlays(e, image, method, layer, targets=[target], **style)
    signed = scale == "signed"
    ends = ("-1" if signed else "0", "1")
    return with_its_colorbar(picture, colormap, ends, signed=signed) if colorbar else picture


def with_its_colorbar(
    picture: Image.Image, colormap: str, ends: tuple[str, str], *, signed: bool
) -> Image.Image:
    """An overlay with the bar of its colours.

    Args:
        picture: the overlay.
        colormap: as it was asked for.
        ends: what is written at the low and the high end.
        signed: whether the middle is zero.
    """
    shown = render.DIVERGING if signed and colormap == render.DEFAULT else colormap
    return render.with_colorbar(picture, shown, low=ends[0], middle="0" if signed else "", high=ends[1])


def overlays(
    e: Maps,
    image: int,
    method: str,
    layer: str,
    *,
    targets: Sequence[int] | None = None,
    scale: Scale = "map",
    order: int = 1,
    **style: Any,
) -> Iterator[Image.Image]:
    """The heatmap of each target on the photo, one after the other.

    Args:
        e: the explanation.
        image: the number of the image in the batch.
        method: one of `e.methods`.
        layer: one of `e.layers`.
        targets: the numbers of the targets; None means all.
        scale: see `camscope.arrays.normalise.Scale`.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        style: the options of `camscope.render.overlay`: colormap and opacity.

    Raises:
        InputError: see `overlay`.
    """
    photo, signed = e.input_image(image).picture, scale == "signed"
    method, layer = e.key(method, layer)
    together = e.photo_heatmaps(image, method, layer, scale=scale, order=order) if scale in _SHARED else None
    for t in range(len(e.targets[image])) if targets is None else targets:
        if together is None:  # one by one: at the size of a photo each is large
            one = dataclasses.replace(e, raw={(method, layer): e.raw[method, layer][:, t : t + 1]})
            heat = one.photo_heatmaps(image, method, layer, scale=scale, order=order)[0]
        else:
            heat = together[t]
        yield render.overlay(photo, heat, signed=signed, **style)


def usual_kind(e: Maps) -> str:
    """What a figure is arranged by if the user does not say."""
    return "targets" if len(e.raw) == 1 else "methods"


@figure_kind("targets")
def targets_figure(
    e: Maps,
    image: int = 0,
    *,
    method: str | None = None,
    layer: str | None = None,
    boxes: bool = False,
    scale: Scale = "map",
    order: int = 1,
    **style: Any,
) -> Drawing:
    """The photo, then the heatmap of each target with its name and probability.

    Args:
        e: the explanation.
        image: the number of the image in the batch.
        method: may be left out if there is one.
        layer: may be left out if there is one.
        boxes: whether to draw the box of the largest component above 20 % of the maximum.
        scale: see `camscope.arrays.normalise.Scale`; with `image` the targets can be compared.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        style: options of `camscope.render.figure`: colormap, opacity, title …
    """
    method, layer = e.key(method, layer)
    panels = [
        Panel(e.input_image(image).picture, None, "Photo"),
        *heatmap_panels(e, image, method, layer, scale=scale, order=order, boxes=boxes),
    ]
    rows = [panels] if len(panels) <= 5 else render.grid_of(panels)
    return Drawing(rows, style_of(style, scale, caption_of(e, (method,), (layer,))))


def heatmap_panels(
    e: Maps,
    image: int,
    method: str,
    layer: str,
    *,
    scale: Scale = "map",
    order: int = 1,
    targets: Sequence[int] | None = None,
    boxes: bool = False,
) -> list[Panel]:
    """The heatmap of each target on the photo, with its name, probability, box and status.

    Args:
        e: the explanation.
        image: the number of the image in the batch.
        method: one of `e.methods`.
        layer: one of `e.layers`.
        scale: see `camscope.arrays.normalise.Scale`.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        targets: the numbers of the targets; None means all.
        boxes: whether to draw the box of the largest component above 20 % of the maximum.
    """
    source = e.input_image(image)
    heat = e.photo_heatmaps(image, method, layer, scale=scale, order=order)
    found = e[image].boxes(method, layer, on_photo=True)[0] if boxes else [[]] * len(heat)
    return [
        Panel(
            source.picture,
            heat[t],
            e.titles[image][t],
            numbers_of(e, image, t),
            [*_four(found[t]), *_box_of(e.targets[image][t], source.geometry)],
            e.status[method, layer][image][t].words,
        )
        for t in (range(len(heat)) if targets is None else targets)
    ]


@figure_kind("methods")
def methods_figure(
    e: Maps,
    image: int = 0,
    *,
    target: int | None = None,
    scale: Scale = "map",
    order: int = 1,
    **style: Any,
) -> Drawing:
    """The heatmaps of all methods at all layers: of one target, or of each target in a block of rows.

    If there are several layers, and every method has a map at each, rows are methods and columns are layers. Otherwise
    the heatmaps follow the photo.

    Args:
        e: the explanation.
        image: the number of the image in the batch.
        target: show only the target with this number; None shows all. Of more than are legible the first ones are
            shown, and the caption says so.
        scale: see `camscope.arrays.normalise.Scale`.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        style: options of `camscope.render.figure`.
    """
    shown = [target] if target is not None else _legible(e)
    words = {t: (e.titles[image][t], numbers_of(e, image, t)) for t in shown}
    heat = {key: e.photo_heatmaps(image, *key, scale=scale, order=order)[shown] for key in e.raw}
    source = e.input_image(image)

    def panel(t: int, method: str, layer: str, title: str = "", subtitle: str = "") -> Panel:
        note = e.status[method, layer][image][t].words
        boxes = _box_of(e.targets[image][t], source.geometry)
        return Panel(source.picture, heat[method, layer][shown.index(t)], title, subtitle, boxes, note)

    several = len(shown) > 1
    if not several:
        style.setdefault("title", " · ".join(words[shown[0]]))
    more = []
    if target is None and len(shown) < len(e.targets[image]):
        more = [f"the first {len(shown)} of {len(e.targets[image])} targets: target=N shows another"]
    caption = caption_of(e, (), e.layers if len(e.layers) == 1 else (), more)
    drawn = style_of(style, scale, caption)
    if len(e.layers) > 1 and len(e.raw) == len(e.methods) * len(e.layers):
        above = {t: words[t] if several else () for t in shown}
        rows = [[panel(t, m, at, *above[t]) for at in e.layers] for t in shown for m in e.methods]
        labels = [*e.methods] * len(shown)
        columns = list(e.layer_titles.values())
        return Drawing(rows, {"row_labels": labels, "column_labels": columns, **drawn})
    photo = Panel(source.picture, None, "Photo")
    title = {(m, at): (m, "" if len(e.layers) == 1 else e.layer_titles[at]) for m, at in e.raw}
    blocks = [render.grid_of([photo, *(panel(t, *key, *title[key]) for key in e.raw)]) for t in shown]
    rows = [row for block in blocks for row in block]
    labels = [" · ".join(words[t]) for t, block in zip(shown, blocks, strict=True) for _ in block]
    return Drawing(rows, {"row_labels": labels if several else (), **drawn})


def _legible(e: Maps) -> list[int]:
    """The numbers of the targets that a figure of all methods and layers shows."""
    return list(range(min(len(e.targets[0]), max(1, MOST_PANELS // len(e.raw)))))


@figure_kind("channels")
def channels_figure(
    e: Maps, image: int = 0, *, target: int = 0, layer: str | None = None, order: int = 1, **style: Any
) -> Drawing:
    """The layer's feature maps over the photo, strongest contribution to the score first, with their weights.

    Grad-CAM's map is the sum of all feature maps times their weights. A channel's contribution is what it adds to the
    score.

    Args:
        e: the explanation, made with `channels=N`.
        image: the number of the image in the batch.
        target: the number of the target.
        layer: may be left out if there is one.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        style: options of `camscope.render.figure`.

    Raises:
        InputError: if the explanation kept no channels.
    """
    if not e.channels:
        raise InputError(
            f"No feature maps were kept. Explain with {either('channels=16', '--save channels')}."
        )
    layer = pick(layer, list(e.channels), "layer")
    kept = e.channels[layer]
    shown = e.input_image(image)
    g = shown.geometry
    activations = kept.activations[image : image + 1, target]
    heat = to_numpy(scaled(place(activations, g.photo_size, g.scale, g.offset, g.input_size, order)))[0]
    index, weights, contributions = (
        to_numpy(x)[image, target] for x in (kept.index, kept.weights, kept.contributions)
    )
    panels = [Panel(shown.picture, None, "Photo")]
    for i, k in enumerate(index):
        panels.append(
            Panel(
                shown.picture,
                heat[i],
                f"channel {int(k)}",
                f"w {weights[i]:+.3g}, adds {contributions[i]:+.3g}",
            )
        )
    style.setdefault(
        "title",
        f"What adds most to the score {float(e.scores[image, target]):.4g} of {e.titles[image][target]}",
    )
    style.setdefault("colorbar_label", "activation (relative)")
    return Drawing(render.grid_of(panels), style_of(style, "map", caption_of(e, (), (layer,))))


def first_figure(e: Maps) -> Figure:
    """The figure of the first image that a notebook shows, with no more targets than are legible."""
    if len(e.raw) > 1:
        return methods_figure(e).figure()
    shown = slice(min(len(e.targets[0]), _MOST_TARGETS))
    return targets_figure(
        dataclasses.replace(
            e,
            raw={key: maps[:, shown] for key, maps in e.raw.items()},
            scores=e.scores[:, shown],
            targets=tuple(targets[shown] for targets in e.targets),
            gradient_free={key: flags[:, shown] for key, flags in e.gradient_free.items()},
        )
    ).figure()


def _four(boxes: Sequence[tuple[int, ...]]) -> list[tuple[int, int, int, int]]:
    return [(box[0], box[1], box[2], box[3]) for box in boxes]


def _box_of(target: TargetInfo, geometry: Geometry) -> list[tuple[int, int, int, int]]:
    """An instance's box on the photo: x0, y0, x1, y1."""
    if target.box is None:
        return []
    height, width = geometry.input_size
    ends = zip(target.box[::2], target.box[1::2], strict=True)
    (y0, x0), (y1, x1) = (geometry.to_photo(y * height, x * width) for x, y in ends)
    limits = geometry.photo_size[::-1] * 2
    left, upper, right, lower = (
        min(max(round(c), 0), limit) for c, limit in zip((x0, y0, x1, y1), limits, strict=True)
    )
    return [(left, upper, right, lower)] if left < right and upper < lower else []


def style_of(style: dict[str, Any], scale: Scale, caption: str) -> dict[str, Any]:
    """The options of `render.figure`: the user's, and those that follow from the scale and the caption.

    Args:
        style: what the user gave.
        scale: of the heatmaps.
        caption: of the figure.
    """
    return {"caption": caption, **colours_of(scale, signed=scale == "signed"), **style}
