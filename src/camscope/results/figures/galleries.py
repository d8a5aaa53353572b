"""A whole batch in one figure: each photo with its heatmaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from camscope import render
from camscope.arrays import Scale
from camscope.render import Panel
from camscope.render.layout import column_count
from camscope.results.figures.labels import MOST_PANELS, caption_of, image_name, targets_shown
from camscope.results.figures.photos import heatmap_panels, style_of
from camscope.results.maps import Maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gallery(
    e: Maps,
    *,
    images: Sequence[int] | None = None,
    target: int | None = None,
    method: str | None = None,
    layer: str | None = None,
    photos: bool = True,
    columns: int | None = None,
    scale: Scale = "map",
    order: int = 1,
    **style: Any,
) -> Figure:
    """All images of a batch: each photo with its heatmap, or a row for each photo with the heatmaps of its targets.

    Args:
        e: the explanation.
        images: the numbers of the images that are shown; None shows all, or the first ones of more than are legible,
            and the caption says so.
        target: show only the target with this number; None shows all.
        method: may be left out if there is one.
        layer: may be left out if there is one.
        photos: whether the bare photo stands beside its heatmaps.
        columns: how many pictures stand in a row, where images have one heatmap each; None chooses.
        scale: see `camscope.arrays.normalise.Scale`; with `batch` the images can be compared.
        order: of the spline; see `camscope.results.maps.Maps.heatmaps`.
        style: options of `camscope.render.figure`: colormap, opacity, title …

    Raises:
        InputError: if the inputs are no pictures, there is no such target, or a name is not among those explained.
        IndexError: if there is no such image.
    """
    method, layer = e.key(method, layer)
    targets = targets_shown(e, target)
    each = len(targets) + photos
    shown = (
        [e.number(i) for i in images] if images is not None else range(len(e))[: max(1, MOST_PANELS // each)]
    )
    more = []
    if images is None and len(shown) < len(e):
        more = [f"the first {len(shown)} of {len(e)} images: images=[…] shows others"]
    rows = []
    for image in shown:
        source = e.input_image(image)
        bare = [Panel(source.picture, None, image_name(e, image))] if photos else []
        heat = heatmap_panels(e, image, method, layer, scale=scale, order=order, targets=targets)
        rows.append([*bare, *heat])
    if len(targets) == 1:
        flat = [panel for row in rows for panel in row]
        if columns is None and photos:
            columns = 2 * -(-column_count(len(rows)) // 2)  # a photo and its heatmap stay side by side
        rows = render.grid_of(flat, columns)
    return render.figure(rows, **style_of(style, scale, caption_of(e, (method,), (layer,), more)))
