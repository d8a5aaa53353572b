"""Figures of an explanation: chooses what stands in each panel and leaves the drawing to `render`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from camscope import render
from camscope.errors import InputError, nearest
from camscope.explanation import Explanation, Status, pick, to_numpy
from camscope.images import Geometry
from camscope.render import Panel
from camscope.resample import place
from camscope.scaling import Scale, scaled
from camscope.targets import TargetInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATUS_WORDS = {
    Status.OK: "",
    Status.FLAT: "flat: the same value everywhere",
    Status.ALL_NEGATIVE: "all-negative: no evidence for it here",
    Status.NO_GRADIENT: "no-gradient: the score does not depend on this layer",
    Status.NON_FINITE: "non-finite: the map holds NaN or infinity",
}


def overlay(
    e: Explanation,
    image: int,
    target: int,
    method: str,
    layer: str,
    *,
    colormap: str = render.DEFAULT,
    opacity: float = 0.5,
    scale: Scale = "map",
    colorbar: bool = False,
) -> Image.Image:
    """One heatmap on the photo as the person has it.

    Args:
        e: the explanation.
        image: which image of the batch.
        target: which of its targets.
        method: one of `e.methods`.
        layer: one of `e.layers`.
        colormap: any name of the cmap catalogue, `jet` and `magma` included.
        opacity: of the colours, 0 (only the photo) to 1 (only the colours).
        scale: see `camscope.scaling.Scale`.
        colorbar: attach one.
    """
    heat = e.photo_heatmaps(image, method, layer, scale=scale)[target]
    signed = scale == "signed"
    picture = render.overlay(e.view(image).picture, heat, colormap=colormap, opacity=opacity, signed=signed)
    if not colorbar:
        return picture
    shown = render.DIVERGING if signed and colormap == render.DEFAULT else colormap
    low, middle = ("-1", "0") if signed else ("0", "")
    return render.with_colorbar(picture, shown, low=low, middle=middle, high="1")


def figure(e: Explanation, image: int = 0, *, by: str | None = None, **options: Any) -> Figure:
    """A figure of one image. See `Explanation.figure`."""
    if e.views.texts:
        from camscope import display_text

        return display_text.figure(e, image, by=by, **options)
    kinds: dict[str, Callable[..., Figure]] = {
        "targets": targets_figure,
        "methods": methods_figure,
        "channels": channels_figure,
    }
    if by is None:
        by = "targets" if len(e.raw) == 1 else "methods"
    if by not in kinds:
        raise InputError(f"by={by!r}: expected one of {', '.join(kinds)}.{nearest(by, kinds)}")
    return kinds[by](e, image, **options)


def targets_figure(
    e: Explanation,
    image: int = 0,
    *,
    method: str | None = None,
    layer: str | None = None,
    boxes: bool = False,
    scale: Scale = "map",
    **style: Any,
) -> Figure:
    """The photo, then the heatmap of each target with its name and probability.

    Args:
        e: the explanation.
        image: which image of the batch.
        method: may be left out if there is one.
        layer: may be left out if there is one.
        boxes: draw the box of the largest component above 20 % of the maximum.
        scale: see `camscope.scaling.Scale`; `image` makes the targets comparable.
        style: of `camscope.render.figure`: colormap, opacity, title …
    """
    method, layer = e._key(method, layer)
    heat = e.photo_heatmaps(image, method, layer, scale=scale)
    found = e[image].boxes(method, layer, on_photo=True)[0] if boxes else [[]] * len(heat)
    panels = [Panel(e.view(image).picture, None, "Photo")]
    for t, target in enumerate(e.targets[image]):
        note = STATUS_WORDS[e.status[method, layer][image][t]]
        drawn = [*_four(found[t]), *_box_of(target, e.view(image).geometry)]
        panels.append(
            Panel(e.view(image).picture, heat[t], target.short, numbers_of(e, image, t), drawn, note)
        )
    rows = [panels] if len(panels) <= 5 else render.grid_of(panels)
    return render.figure(rows, **_drawn(style, scale, caption_of(e, (method,), (layer,))))


def methods_figure(
    e: Explanation, image: int = 0, *, target: int = 0, scale: Scale = "map", **style: Any
) -> Figure:
    """Methods × layers for one target; after the photo, and in a row, where not every method is at every layer.

    Args:
        e: the explanation.
        image: which image of the batch.
        target: which of its targets.
        scale: see `camscope.scaling.Scale`.
        style: of `camscope.render.figure`.
    """
    picture = e.view(image).picture
    info = e.targets[image][target]

    def panel(method: str, layer: str, title: str = "", subtitle: str = "") -> Panel:
        heat = e.photo_heatmaps(image, method, layer, scale=scale)[target]
        note = STATUS_WORDS[e.status[method, layer][image][target]]
        return Panel(picture, heat, title, subtitle, _box_of(info, e.view(image).geometry), note)

    style.setdefault("title", f"{info.short} · {numbers_of(e, image, target)}")
    caption = caption_of(e, (), e.layers if len(e.layers) == 1 else ())
    if len(e.layers) == 1:
        panels = [Panel(picture, None, "Photo"), *(panel(m, e.layers[0], m) for m in e.methods)]
        return render.figure(render.grid_of(panels), **_drawn(style, scale, caption))
    if len(e.raw) < len(e.methods) * len(e.layers):
        panels = [Panel(picture, None, "Photo"), *(panel(m, at, m, at) for m, at in e.raw)]
        return render.figure(render.grid_of(panels), **_drawn(style, scale, caption))
    rows = [[panel(method, layer) for layer in e.layers] for method in e.methods]
    return render.figure(rows, row_labels=e.methods, column_labels=e.layers, **_drawn(style, scale, caption))


def channels_figure(
    e: Explanation, image: int = 0, *, target: int = 0, layer: str | None = None, **style: Any
) -> Figure:
    """The layer's feature maps over the photo, strongest contribution to the score first, with their weights.

    Grad-CAM's map is the sum of all maps times their weights; a contribution is what a channel adds to the score.

    Args:
        e: the explanation, made with `channels=N`.
        image: which image of the batch.
        target: which of its targets.
        layer: may be left out if there is one.
        style: of `camscope.render.figure`.

    Raises:
        InputError: if the explanation kept no channels.
    """
    if not e.channels:
        raise InputError(
            "No feature maps were kept. Explain with channels=16 (on the command line: --save channels)."
        )
    layer = pick(layer, list(e.channels), "layer")
    kept = e.channels[layer]
    view = e.view(image)
    g = view.geometry
    activations = kept.activations[image : image + 1, target]
    heat = to_numpy(scaled(place(activations, g.photo_size, g.scale, g.offset, g.input_size)))[0]
    index, weights, contributions = (
        to_numpy(x)[image, target] for x in (kept.index, kept.weights, kept.contributions)
    )
    panels = [Panel(view.picture, None, "Photo")]
    for i, k in enumerate(index):
        panels.append(
            Panel(
                view.picture,
                heat[i],
                f"channel {int(k)}",
                f"w {weights[i]:+.3g}, adds {contributions[i]:+.3g}",
            )
        )
    info = e.targets[image][target]
    style.setdefault(
        "title", f"What adds most to the score {float(e.scores[image, target]):.4g} of {info.short}"
    )
    style.setdefault("colorbar_label", "activation (relative)")
    return render.figure(render.grid_of(panels), **_drawn(style, "map", caption_of(e, (), (layer,))))


def html(e: Explanation) -> str:
    """The notebook display: a figure of the first image and what was explained."""
    what = "texts" if e.views.texts else "images"
    rows = [
        ("model", str(e.provenance.get("model_name") or e.provenance.get("model"))),
        ("methods", ", ".join(e.methods)),
        ("layers", ", ".join(e.layers)),
        (what, str(len(e))),
        *(("note", note) for note in e.notes),
    ]
    if e.views.texts:
        from camscope import display_text

        return display_text.html(e) + render.html_summary(None, rows)
    shown = min(len(e.targets[0]), 19)
    if not e.views.has(0):
        return render.html_summary(None, rows)
    drawn = _first_targets(e, shown) if len(e.raw) == 1 else figure(e, 0)
    return render.html_summary(render.png(drawn, dpi=90), rows)


def _first_targets(e: Explanation, count: int) -> Figure:
    cut = dataclasses.replace(
        e,
        raw={key: maps[:, :count] for key, maps in e.raw.items()},
        scores=e.scores[:, :count],
        targets=tuple(targets[:count] for targets in e.targets),
        gradient_free={key: flags[:, :count] for key, flags in e.gradient_free.items()},
    )
    return targets_figure(cut, 0)


def numbers_of(e: Explanation, image: int, target: int) -> str:
    """A target's probability, or its score where it has none."""
    probability = e.probability(image, target)
    if probability is None:
        return f"{float(e.scores[image, target]):.3g}"
    info = e.targets[image][target]
    # under "not tabby" a bare 17 % would read as the probability that it is none
    return f"{probability:.1%}" if info.sign > 0 else f"{info.name.partition(',')[0]}: {probability:.1%}"


def _four(boxes: Sequence[tuple[int, ...]]) -> list[tuple[int, int, int, int]]:
    return [(box[0], box[1], box[2], box[3]) for box in boxes]


def _box_of(target: TargetInfo, geometry: Geometry) -> list[tuple[int, int, int, int]]:
    """An instance's box on the photo: top, left, bottom, right."""
    if target.box is None:
        return []
    x0, y0, x1, y1 = target.box
    corners = [
        round((share * size - offset) / scale)
        for share, size, offset, scale in zip(
            (y0, x0, y1, x1), geometry.input_size * 2, geometry.offset * 2, geometry.scale * 2, strict=True
        )
    ]
    limits = geometry.photo_size * 2
    top, left, bottom, right = (min(max(c, 0), limit) for c, limit in zip(corners, limits, strict=True))
    return [(top, left, bottom, right)] if top < bottom and left < right else []


def caption_of(e: Explanation, methods: Sequence[str], layers: Sequence[str]) -> str:
    """The model, and what else is the same for all of a figure."""
    model = e.provenance.get("model_name") or e.provenance.get("model")
    return " · ".join([str(model), *methods, *layers])


def _drawn(style: dict[str, Any], scale: Scale, caption: str) -> dict[str, Any]:
    options: dict[str, Any] = {"signed": scale == "signed", "caption": caption, **style}
    if isinstance(scale, tuple):
        options = {
            "low": f"{scale[0]:.3g}",
            "high": f"{scale[1]:.3g}",
            "colorbar_label": "evidence",
            **options,
        }
    elif scale == "signed":
        options = {"colorbar_label": "evidence against – for", **options}
    return options
