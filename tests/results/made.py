"""Explanations made by hand, in which no two maps are alike, and what a figure of one holds.

Nothing here asks an explanation for a heatmap: what a panel should show is made from the raw map that it is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from camscope import Explanation
from camscope.arrays import place
from camscope.images import Geometry
from camscope.inputs.input_images import InputImage, InputImages
from camscope.render import overlay
from camscope.results.map_data import Channels, MethodFacts
from camscope.targets import TargetInfo
from camscope.text import Text
from camscope.text.text import Word

METHODS = ("gradcam", "layercam", "eigencam")
"""The first two show no evidence against; the last one is shown as it is."""

LAYERS = ("early", "late")
GRIDS = {"early": (4, 6), "late": (2, 3)}
SCALES: list[Any] = ["map", "image", "batch", "signed", (-0.5, 1.5)]

GEOMETRIES = (
    Geometry((24, 36), (16, 16), (2 / 3, 2 / 3), (0.0, -4.0)),
    Geometry((30, 20), (16, 16), (0.8, 0.8), (-4.0, 0.0)),
)
"""A wide photo that loses its sides to the crop, and a tall one that loses top and bottom."""

BOX = (0.25, 0.25, 0.5, 0.75)
BOX_ON_PHOTO = ((12, 6, 18, 18), (5, 10, 10, 20))
"""The same box in shares of the input (x0, y0, x1, y1), and on each photo (x0, y0, x1, y1)."""

TARGETS = (
    (
        TargetInfo(0, "cat, tabby", "logit", 1),
        TargetInfo(1, "dog", "logit", 1, box=BOX),
        TargetInfo(2, "cow", "logit", -1),
    ),
    (
        TargetInfo(2, "cow", "probability", 1),
        TargetInfo(3, "hen", "logit", 1, box=BOX),
        TargetInfo(None, "mine", None, 1),
    ),
)
PROBABILITIES = np.array([[0.5, 0.25, 0.15, 0.1], [0.05, 0.1, 0.65, 0.2]], dtype=np.float32)
SCORES = np.array([[1.25, 2.5, -3.75], [0.65, 5.5, 6.25]], dtype=np.float32)
NUMBERS = (("50.0%", "25.0%", "cow: 15.0%"), ("65.0%", "20.0%", "6.25"))
"""What stands under each target's name."""

SHORT = (("cat", "dog", "not cow"), ("probability of cow", "hen", "mine"))

NOTES = {
    ("gradcam", "late", 1, 0): "all-negative: no evidence for it here",
    ("layercam", "early", 0, 2): "flat: the same value everywhere",
    ("layercam", "late", 0, 1): "no-gradient: the score does not depend on this layer",
    ("eigencam", "early", 1, 2): "non-finite: the map holds NaN or infinity",
}
"""Maps with which something is the matter: method, layer, image, target. The others have no note."""


def photos() -> list[Image.Image]:
    rng = np.random.default_rng(7)
    return [Image.fromarray(rng.integers(0, 256, (*g.photo_size, 3), dtype=np.uint8)) for g in GEOMETRIES]


def images_of(pictures: list[Image.Image], geometries: Any = GEOMETRIES) -> InputImages:
    def maker(picture: Image.Image, geometry: Geometry) -> Any:
        return lambda: InputImage(picture, geometry)

    return InputImages([maker(p, g) for p, g in zip(pictures, geometries, strict=True)])


def made(methods: tuple[str, ...] = METHODS, layers: tuple[str, ...] = LAYERS) -> Explanation:
    """Two photos, three targets each, every method at every layer; each map another, of its own size of values."""
    rng = np.random.default_rng(3)
    raw, free = {}, {}
    for method in methods:
        for layer in layers:
            maps = rng.standard_normal((2, 3, *GRIDS[layer])).astype(np.float32)
            maps *= np.float32([[1, 2, 4], [3, 0.5, 1.5]])[:, :, None, None]
            flags = np.zeros((2, 3), dtype=bool)
            for (m, at, image, target), note in NOTES.items():
                if (m, at) == (method, layer):
                    one = maps[image, target]
                    if "negative" in note:
                        one[:] = -np.abs(one) - 0.1
                    elif "flat" in note:
                        one[:] = 0.75
                    elif "no-gradient" in note:
                        one[:] = 0
                        flags[image, target] = True
                    else:
                        one[0, 1] = np.nan
            raw[method, layer], free[method, layer] = maps, flags

    def kept(layer: str) -> Channels:
        return Channels(
            index=rng.permutation(24).reshape(2, 3, 4),
            weights=rng.standard_normal((2, 3, 4)).astype(np.float32),
            contributions=rng.standard_normal((2, 3, 4)).astype(np.float32),
            activations=rng.standard_normal((2, 3, 4, *GRIDS[layer])).astype(np.float32),
        )

    return Explanation(
        raw=raw,
        scores=SCORES,
        logits=np.log(PROBABILITIES),
        probabilities=PROBABILITIES,
        targets=TARGETS,
        input_size=(16, 16),
        facts={m: MethodFacts(f"paper of {m}", m != "eigencam", m != "eigencam") for m in methods},
        class_names=["cat, tabby", "dog", "cow", "hen"],
        input_images=images_of(photos()),
        provenance={"model_name": "Made"},
        channels={layer: kept(layer) for layer in layers},
        gradient_free=free,
    )


def to_unit(own: np.ndarray, among: np.ndarray, scale: Any) -> np.ndarray:
    """A map scaled to [0, 1] by what shares its scale; a flat one is zero, or the middle where signed."""
    known = among[np.isfinite(among)]
    low, high = (known.min(), known.max()) if not isinstance(scale, tuple) else scale
    if scale == "signed":
        low, high = -max(-low, high), max(-low, high)
    if not high - low > 1e-5 * max(abs(low), abs(high)):  # nothing but rounding
        return np.where(np.isnan(own), own, own.dtype.type(0.5 if scale == "signed" else 0))
    return np.clip((own - low) / (high - low), 0, 1)


def heat_of(
    e: Explanation, method: str, layer: str, image: int, target: int, scale: Any = "map"
) -> np.ndarray:
    """The heatmap on the photo, from the raw map: rectified, placed, and scaled by what shares its scale."""
    maps = np.nan_to_num(e.raw[method, layer], nan=0.0)
    if e.facts[method].rectified and scale != "signed":
        maps = np.maximum(maps, 0)
    g = GEOMETRIES[image]
    placed = place(maps, g.photo_size, g.scale, g.offset, g.input_size)
    own = placed[image, target]
    return to_unit(own, {"image": placed[image], "batch": placed}.get(str(scale), own), scale)


def picture_of(
    e: Explanation, method: str, layer: str, image: int, target: int, scale: Any = "map", **style: Any
) -> np.ndarray:
    """What a panel of this map shows."""
    heat = heat_of(e, method, layer, image, target, scale)
    return np.asarray(overlay(photos()[image], heat, signed=scale == "signed", **style))


# ------------------------------------------------------------------ what a figure holds


@dataclass
class Drawn:
    """One panel as it is drawn.

    Attributes:
        pixels: of its picture.
        title: over it.
        subtitle: under the title.
        note: in the picture.
        boxes: (x0, y0, x1, y1) of what is outlined.
        row: the label at its left; empty if there is none.
        column: the label on top of its column.
    """

    pixels: np.ndarray
    title: str
    subtitle: str
    note: str
    boxes: list[tuple[float, ...]]
    row: str
    column: str


def panels_of(figure: Figure) -> list[Drawn]:
    """The panels row by row, each with the words that stand at its place on the page."""
    own = [axes for axes in figure.axes if axes.get_label() != "colorbar"]
    places = [axes.get_position() for axes in own]

    def middle(place: Any) -> float:
        return (place.x0 + place.x1) / 2

    def below(text: Any) -> int | None:
        """The panel next under a text that stands over the middle of it."""
        under = [
            (text.get_position()[1] - place.y1, number)
            for number, place in enumerate(places)
            if abs(middle(place) - text.get_position()[0]) < 1e-4 and text.get_position()[1] >= place.y1
        ]
        return min(under)[1] if under else None

    def over(number: int, size: float) -> str:
        found = [
            text
            for text in figure.texts
            if text.get_ha() == "center" and text.get_fontsize() == size and not text.get_rotation()
            if below(text) == number
        ]
        return " ".join(text.get_text() for text in sorted(found, key=lambda t: -t.get_position()[1]))

    def beside(place: Any) -> str:
        centre = (place.y0 + place.y1) / 2
        return " ".join(
            text.get_text()
            for text in figure.texts
            if text.get_rotation()
            and text.get_fontsize() == 9.5
            and abs(text.get_position()[1] - centre) < 0.02
        )

    def column(place: Any) -> str:
        return " ".join(
            text.get_text()
            for text in figure.texts
            if not text.get_rotation() and text.get_fontsize() == 9.5
            if abs(text.get_position()[0] - middle(place)) < 1e-4
        )

    return [
        Drawn(
            pixels=np.asarray(axes.images[0].get_array()),
            title=over(number, 9.0),
            subtitle=over(number, 8.0),
            note=" ".join(" ".join(text.get_text() for text in axes.texts).split()),
            boxes=[
                (p.get_x(), p.get_y(), p.get_x() + p.get_width(), p.get_y() + p.get_height())
                for p in axes.patches
                if isinstance(p, Rectangle)
            ],
            row=beside(place),
            column=column(place),
        )
        for number, (axes, place) in enumerate(zip(own, places, strict=True))
    ]


# ------------------------------------------------------------------ texts

TEXTS = (
    Text(
        ("[CLS]", "good", "film", "##s", "!"),
        (Word("good", 1, 2), Word("films", 2, 4), Word("!", 4, 5, glued=True)),
        first=2,
    ),
    Text(
        ("a", "dull", "re", "##make", "of", "it", "."),
        (
            Word("a", 0, 1),
            Word("dull", 1, 2),
            Word("remake", 2, 4),
            Word("of", 4, 5),
            Word("it", 5, 6),
            Word(".", 6, 7, glued=True),
        ),
    ),
)
SPANS = {"words": ((1, 6), (0, 7)), "deep": ((1, 6), (0, 7))}
"""Where each text's part of a map reaches: the first lies one further to the right than a row of its own."""


def made_of_texts(methods: tuple[str, ...] = ("gradcam", "layercam")) -> Explanation:
    """Two texts of different lengths, three targets each, every method at two layers, each map another."""
    rng = np.random.default_rng(45)  # whatever the scale, no two rows come out alike
    keys = [(method, layer) for method in methods for layer in SPANS]
    raw = {key: rng.standard_normal((2, 3, 7)).astype(np.float32) for key in keys}
    for maps in raw.values():
        maps[0, :, [0, 6]] = 0
    return Explanation(
        raw=raw,
        scores=SCORES,
        logits=np.log(PROBABILITIES),
        probabilities=PROBABILITIES,
        targets=TARGETS,
        input_size=(7,),
        facts={m: MethodFacts(f"paper of {m}", m != "eigencam", True) for m in methods},
        class_names=["cat, tabby", "dog", "cow", "hen"],
        input_images=InputImages([None, None], TEXTS),
        provenance={"model_name": "Made"},
        spans={key: np.array(SPANS[key[1]]) for key in keys},
    )


def values_of(
    e: Explanation, method: str, layer: str, text: int, target: int, scale: Any = "signed"
) -> np.ndarray:
    """What each word's colour stands for: the sum over its tokens, scaled among what shares its scale."""
    start, stop = SPANS[layer][text]
    tokens = e.raw[method, layer][text, :, start:stop]
    words = np.stack([tokens[:, w.start : w.stop].sum(-1) for w in TEXTS[text].words], axis=-1)
    if e.facts[method].rectified and scale != "signed":
        words = np.maximum(words, 0)
    own = words[target]
    return to_unit(own, words if scale in ("image", "batch") else own, scale)
