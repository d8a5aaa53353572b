"""Texts that figures of pictures, texts and signals share: numbers, captions, what the colours mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from camscope.arrays import Scale
from camscope.errors import InputError
from camscope.results.map_data import Key
from camscope.results.maps import Maps

MOST_PANELS = 60
"""The most pictures in a figure, as long as the user does not say which it shows."""


def numbers_of(e: Maps, image: int, target: int) -> str:
    """A target's probability, or its score if it has none.

    Args:
        e: the explanation.
        image: the number of the image in the batch.
        target: the number of the target.
    """
    probability = e.probability(image, target)
    if probability is None:
        return f"{float(e.scores[image, target]):.3g}"
    info = e.targets[image][target]
    # under the titles "not tabby" and "tabby vs tiger cat", 17 % alone would be mistaken for the probability of these
    about = "" if info.sign > 0 and not info.against else f"{e.short_names.get(info.name, info.name)}: "
    return f"{about}{probability:.1%}"


def keys_of(e: Maps, method: str | None, layer: str | None) -> list[Key]:
    """The maps of a method at a layer, or of all methods or layers where none is named.

    Args:
        e: the explanation.
        method: one of `e.methods`, or None.
        layer: one of `e.layers`, or None.

    Raises:
        InputError: if a name is not among those explained.
    """
    chosen = e.written(method)
    keys = [key for key in e.raw if chosen in (None, key[0]) and layer in (None, key[1])]
    return keys or [e.key(method, layer)]  # raises the error that names the methods and layers there are


def beside_title(e: Maps, image: int, target: int, key: Key, keys: Sequence[Key]) -> str:
    """What stands beside a target's title in a row: its number, and of several maps which this is.

    Args:
        e: the explanation.
        image: the number of the image in the batch.
        target: the number of the target.
        key: the row's map.
        keys: all maps that are shown.
    """
    words = [numbers_of(e, image, target)]
    if len(keys) > 1:
        words += [key[0], *([key[1]] if len(e.layers) > 1 and key[1] != "model" else [])]
    return " · ".join(words)


def targets_shown(e: Maps, target: int | None) -> list[int]:
    """The numbers of the targets that a figure shows: of one that is named, or of all.

    Args:
        e: the explanation.
        target: its number, which may count from the end; None for all.

    Raises:
        InputError: if there is no such target.
    """
    count = len(e.targets[0])
    if target is None:
        return list(range(count))
    if not -count <= target < count:
        raise InputError(f"target={target}: {count} targets were explained, 0 to {count - 1}.")
    return [target % count]


def caption_of(
    e: Maps, methods: Sequence[str] = (), layers: Sequence[str] = (), more: Sequence[str] = ()
) -> str:
    """The caption of a figure: the model, what the whole figure has in common, and at the end a warning if one is due.

    Args:
        e: the explanation.
        methods: the methods that the whole figure is of.
        layers: the layers that the whole figure is of.
        more: what else is to be said of the figure.
    """
    return " · ".join([model_of(e), *methods, *layers, *more, *(["untrained"] if e.untrained else [])])


def agreement(heatmap: Float[np.ndarray, "*place"], first: Float[np.ndarray, "*place"]) -> str:
    """`r = 0.87`: how two heatmaps correlate where both are there; "" if one of them is the same everywhere.

    Args:
        heatmap: one of them.
        first: the other, of the same shape.
    """
    seen = np.isfinite(heatmap) & np.isfinite(first)
    mine, theirs = heatmap[seen], first[seen]
    flat = mine.size == 0 or np.ptp(mine) == 0 or np.ptp(theirs) == 0
    return "" if flat else f"r = {np.corrcoef(mine, theirs)[0, 1]:.2f}"


def image_name(e: Maps, image: int) -> str:
    """What an image is called: its file's name, or its number in the batch.

    Args:
        e: the explanation.
        image: the number of the image in the batch.
    """
    shown = e.signal(image) if e.of_signals else e.input_image(image) if e.input_images.has(image) else None
    source = None if shown is None else shown.source
    return Path(source).name if source else f"{e.noun} {image}"


def model_of(e: Maps) -> str:
    """The name of the model, or of its class if it has none."""
    return str(e.provenance.get("model_name") or e.provenance.get("model"))


def colours_of(scale: Scale | None, *, signed: bool) -> dict[str, Any]:
    """The options of a figure that say what its colours mean.

    Args:
        scale: the scale of the heatmaps.
        signed: whether 0.5 stands for zero.
    """
    if isinstance(scale, tuple):
        low, high = (f"{end:.3g}" for end in scale)
        return {"signed": signed, "low": low, "high": high, "colorbar_label": "evidence"}
    if signed:
        return {"signed": True, "colorbar_label": "evidence against – for"}
    return {"signed": False}
