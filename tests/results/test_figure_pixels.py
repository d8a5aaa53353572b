"""Figures by their pixels: every panel shows its own map, laid over its own photo, under its own name."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camscope import render
from camscope.arrays import place
from camscope.render import overlay, with_colorbar
from camscope.targets import TargetInfo
from tests.results.made import (
    BOX,
    BOX_ON_PHOTO,
    GEOMETRIES,
    LAYERS,
    METHODS,
    NOTES,
    NUMBERS,
    SCALES,
    SCORES,
    SHORT,
    Drawn,
    heat_of,
    images_of,
    made,
    panels_of,
    photos,
    picture_of,
    to_unit,
)

IMAGES, TARGETS = range(2), range(3)
KEYS = list(itertools.product(METHODS, LAYERS))


@pytest.fixture(scope="module")
def e():
    return made()


def assert_shows(panel: Drawn, pixels: np.ndarray, of: Any) -> None:
    """The same picture, to the pixel."""
    assert panel.pixels.shape == pixels.shape, of
    assert np.array_equal(panel.pixels, pixels), of


def boxes_of_target(image: int, target: int) -> list[tuple[int, ...]]:
    return [BOX_ON_PHOTO[image]] if target == 1 else []


def test_no_two_maps_are_alike(e):
    """Or a panel with another's map would go unseen: as pictures, on both photos."""
    for scale in SCALES:
        seen: dict[bytes, Any] = {}
        for key, image, target in itertools.product(KEYS, IMAGES, TARGETS):
            if scale != "signed" and (*key, image, target) in NOTES:
                continue  # rectified to nothing: these are alike, and have their notes
            pixels = picture_of(e, *key, image, target, scale).tobytes()
            assert pixels not in seen, (scale, key, image, target, seen.get(pixels))
            seen[pixels] = key, image, target


# ------------------------------------------------------------------ by targets


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("image", IMAGES)
def test_by_targets_every_panel_is_its_own(e, image, scale):
    for method, layer in KEYS:
        first, *panels = panels_of(e.figure(image, by="targets", method=method, layer=layer, scale=scale))
        assert_shows(first, np.asarray(photos()[image]), "photo")
        assert (first.title, first.subtitle, first.note, first.boxes) == ("Photo", "", "", [])
        assert len(panels) == 3
        for target, panel in enumerate(panels):
            of = (method, layer, image, target, scale)
            assert_shows(panel, picture_of(e, method, layer, image, target, scale), of)
            assert (panel.title, panel.subtitle) == (SHORT[image][target], NUMBERS[image][target])
            assert panel.note == NOTES.get((method, layer, image, target), "")
            assert panel.boxes == boxes_of_target(image, target)


def test_by_targets_of_many_every_panel_keeps_its_place(e):
    """More than fit in a row: the grid must not mix them up."""
    count = 21
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, count, 4, 6)).astype(np.float32)
    many = dataclasses.replace(
        e,
        raw={("gradcam", "early"): maps},
        scores=rng.standard_normal((2, count)).astype(np.float32),
        targets=tuple(
            tuple(TargetInfo(None, f"target {image} {t}", None, 1) for t in range(count)) for image in IMAGES
        ),
        gradient_free={},
        channels={},
    )
    for image in IMAGES:
        _, *panels = panels_of(many.figure(image))
        assert [panel.title for panel in panels] == [f"target {image} {t}" for t in range(count)]
        for t, panel in enumerate(panels):
            assert panel.subtitle == f"{float(many.scores[image, t]):.3g}"
            assert_shows(panel, picture_of(many, "gradcam", "early", image, t), (image, t))
    shown = shown_in(many._repr_html_())
    first = dataclasses.replace(
        many, raw={("gradcam", "early"): maps[:, :19]}, targets=tuple(row[:19] for row in many.targets)
    )
    assert shown == render.png(first.figure(0), dpi=90), "a notebook shows the first nineteen"


def test_boxes_on_request_lie_around_the_largest_component(e):
    """One bright cell in each map, another cell for each image and target; the target's own box is drawn as well."""
    maps = np.zeros((2, 3, 4, 6), dtype=np.float32)
    cells = {(0, 0): (1, 2), (0, 1): (2, 3), (0, 2): (0, 3), (1, 0): (2, 2), (1, 1): (1, 4), (1, 2): (1, 1)}
    for (image, target), cell in cells.items():
        maps[(image, target, *cell)] = 1 + image + target
    one = dataclasses.replace(e, raw={("gradcam", "early"): maps}, gradient_free={}, channels={})
    for image in IMAGES:
        _, *panels = panels_of(one.figure(image, boxes=True))
        for target, panel in enumerate(panels):
            inside = np.nan_to_num(heat_of(one, "gradcam", "early", image, target), nan=0) >= 0.2
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            around = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            assert panel.boxes == [around, *boxes_of_target(image, target)], (image, target)
        assert all(len(p.boxes) <= 1 for p in panels_of(one.figure(image)))


@pytest.mark.parametrize(
    ("box", "drawn"),
    [
        ((-0.5, -0.5, 0.5, 0.5), [(0, 0, 18, 12)]),
        ((0.0, 0.0, 1.0, 1.0), [(6, 0, 30, 24)]),
        ((0.5, 0.5, 1.75, 1.75), [(18, 12, 36, 24)]),
        ((2.0, 0.0, 3.0, 1.0), []),
    ],
)
def test_a_targets_box_ends_at_the_photo(e, box, drawn):
    """What the crop cut off is still photo; what lies beyond the photo is no box."""
    targets = tuple(tuple(dataclasses.replace(t, box=box) for t in row) for row in e.targets)
    boxed = dataclasses.replace(e, targets=targets)
    panel = panels_of(boxed.figure(0, by="targets", method="gradcam", layer="early"))[1]
    assert panel.boxes == drawn


# ------------------------------------------------------------------ by methods


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("image", IMAGES)
def test_by_methods_every_panel_is_of_its_row_and_column(e, image, scale):
    for target in TARGETS:
        figure = e.figure(image, by="methods", target=target, scale=scale)
        panels = panels_of(figure)
        assert len(panels) == len(KEYS)
        for (method, layer), panel in zip(KEYS, panels, strict=True):
            of = (method, layer, image, target, scale)
            assert_shows(panel, picture_of(e, method, layer, image, target, scale), of)
            assert (panel.row, panel.column) == (method, layer)
            assert panel.note == NOTES.get((method, layer, image, target), "")
            assert panel.boxes == boxes_of_target(image, target)
        said = [text.get_text() for text in figure.texts]
        assert f"{SHORT[image][target]} · {NUMBERS[image][target]}" in said
        assert "Made" in said


@pytest.mark.parametrize("image", IMAGES)
def test_by_methods_every_target_has_a_block_of_rows_of_its_own(e, image):
    panels = panels_of(e.figure(image, by="methods"))
    places = [(target, *key) for target in TARGETS for key in KEYS]
    assert len(panels) == len(places)
    for (target, method, layer), panel in zip(places, panels, strict=True):
        of = (method, layer, image, target)
        assert_shows(panel, picture_of(e, method, layer, image, target), of)
        assert (panel.row, panel.title) == (method, SHORT[image][target])


@pytest.mark.parametrize("image", IMAGES)
def test_by_methods_at_one_layer_every_target_has_a_row_of_its_own(image):
    e = made(layers=("late",))
    panels = [panel for panel in panels_of(e.figure(image, by="methods")) if panel.title != "Photo"]
    places = [(target, method) for target in TARGETS for method in METHODS]
    assert len(panels) == len(places)
    for (target, method), panel in zip(places, panels, strict=True):
        assert_shows(panel, picture_of(e, method, "late", image, target), (method, image, target))


@pytest.mark.parametrize("image", IMAGES)
def test_by_methods_at_one_layer_they_follow_the_photo(image):
    e = made(layers=("late",))
    for target in TARGETS:
        first, *panels = panels_of(e.figure(image, target=target))
        assert_shows(first, np.asarray(photos()[image]), "photo")
        assert [panel.title for panel in panels] == list(METHODS)
        for method, panel in zip(METHODS, panels, strict=True):
            assert_shows(panel, picture_of(e, method, "late", image, target), (method, image, target))
            assert panel.note == NOTES.get((method, "late", image, target), "")
            assert panel.boxes == boxes_of_target(image, target)


@pytest.mark.parametrize("image", IMAGES)
def test_by_methods_at_different_layers_each_says_its_layer(e, image):
    gone = ("layercam", "early")
    some = dataclasses.replace(e, raw={key: maps for key, maps in e.raw.items() if key != gone})
    for target in TARGETS:
        first, *panels = panels_of(some.figure(image, target=target))
        assert_shows(first, np.asarray(photos()[image]), "photo")
        keys = [key for key in KEYS if key != gone]
        assert [(panel.title, panel.subtitle) for panel in panels] == keys
        for key, panel in zip(keys, panels, strict=True):
            assert_shows(panel, picture_of(e, *key, image, target), (key, image, target))
            assert panel.note == NOTES.get((*key, image, target), "")


@pytest.mark.parametrize("by", ["targets", "methods"])
def test_style_reaches_the_pixels(e, by):
    options: dict[str, Any] = {"method": "gradcam", "layer": "early"} if by == "targets" else {}
    panels = panels_of(e.figure(1, by=by, colormap="jet", opacity=0.3, **options))
    number = 1 if by == "targets" else 0  # of gradcam at the early layer, of target 0
    assert_shows(
        panels[number], picture_of(e, "gradcam", "early", 1, 0, colormap="jet", opacity=0.3), "gradcam"
    )


# ------------------------------------------------------------------ by channels


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("image", IMAGES)
def test_by_channels_every_panel_is_its_own(e, image, layer):
    kept = e.channels[layer]
    g = GEOMETRIES[image]
    for target in TARGETS:
        figure = e.figure(image, by="channels", target=target, layer=layer)
        first, *panels = panels_of(figure)
        assert_shows(first, np.asarray(photos()[image]), "photo")
        assert len(panels) == 4
        for i, panel in enumerate(panels):
            own = kept.activations[image, target, i]
            placed = place(own[None, None], g.photo_size, g.scale, g.offset, g.input_size)[0, 0]
            of = (layer, image, target, i)
            assert_shows(panel, np.asarray(overlay(photos()[image], to_unit(placed, placed, "map"))), of)
            at = (image, target, i)
            assert panel.title == f"channel {kept.index[at]}"
            assert panel.subtitle == f"w {kept.weights[at]:+.3g}, adds {kept.contributions[at]:+.3g}"
        said = " ".join(text.get_text() for text in figure.texts)
        assert f"the score {float(SCORES[image, target]):.4g} of {SHORT[image][target]}" in said
        assert f"Made · {layer}" in said


# ------------------------------------------------------------------ overlays


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_every_overlay_is_of_its_own_map(e, scale):
    for (method, layer), image, target in itertools.product(KEYS, IMAGES, TARGETS):
        found = np.asarray(e.overlay(image, target, method, layer, scale=scale))
        assert np.array_equal(found, picture_of(e, method, layer, image, target, scale))
        assert np.array_equal(
            np.asarray(e.photo_heatmaps(image, method, layer, scale=scale)[target]),
            heat_of(e, method, layer, image, target, scale),
            equal_nan=True,
        )


def test_an_overlay_takes_its_style_and_its_colour_bar(e):
    plain = e.overlay(1, 2, "gradcam", "late", colormap="jet", opacity=0.25)
    assert np.array_equal(
        np.asarray(plain), picture_of(e, "gradcam", "late", 1, 2, colormap="jet", opacity=0.25)
    )
    for scale, bar in (
        ("map", {"low": "0", "high": "1"}),
        ("signed", {"low": "-1", "middle": "0", "high": "1", "colormap": render.DIVERGING}),
    ):
        picture = Image.fromarray(picture_of(e, "gradcam", "late", 1, 2, scale))
        barred = e.overlay(1, 2, "gradcam", "late", scale=scale, colorbar=True)
        assert np.array_equal(np.asarray(barred), np.asarray(with_colorbar(picture, **bar)))


# ------------------------------------------------------------------ masks and boxes


@pytest.mark.parametrize("threshold", [0.2, 0.6])
def test_masks_and_boxes_on_the_photo_are_of_their_own_map(e, threshold):
    for key in KEYS:
        masks = e.masks(*key, threshold=threshold, on_photo=True)
        boxes = e.boxes(*key, threshold=threshold, on_photo=True)
        for image, target in itertools.product(IMAGES, TARGETS):
            heat = np.nan_to_num(heat_of(e, *key, image, target), nan=0)
            expected = (heat >= threshold * heat.max()) & (heat.max() > 0)
            assert np.array_equal(masks[image][target], expected), (key, image, target)
            assert (boxes[image][target] == []) == (not expected.any())
            for left, top, right, bottom in boxes[image][target]:
                part = expected[top:bottom, left:right]
                assert part.any(0).all()
                assert part[0].any()
                assert part[-1].any()


# ------------------------------------------------------------------ one of a batch


@pytest.mark.parametrize("image", IMAGES)
def test_one_image_of_a_batch_shows_the_same_panels(e, image):
    """The image that is left has the photo, the maps, the numbers and the channels that it had."""
    alone = e[image]
    for options in (
        {"by": "targets", "method": "layercam", "layer": "early"},
        {"by": "methods", "target": 1},
        {"by": "channels", "target": 2, "layer": "late"},
    ):
        for a, b in zip(
            panels_of(alone.figure(0, **options)), panels_of(e.figure(image, **options)), strict=True
        ):
            assert_shows(a, b.pixels, options)
            assert (a.title, a.subtitle, a.note, a.boxes) == (b.title, b.subtitle, b.note, b.boxes)


# ------------------------------------------------------------------ a notebook


def shown_in(html: str) -> bytes:
    (found,) = re.findall(r"data:image/png;base64,([^\"]+)", html)
    return base64.b64decode(found)


def test_a_notebook_shows_the_first_image_by_methods_or_by_targets(e):
    assert shown_in(e._repr_html_()) == render.png(e.figure(0, by="methods"), dpi=90)
    one = made(methods=("layercam",), layers=("late",))
    assert shown_in(one._repr_html_()) == render.png(one.figure(0, by="targets"), dpi=90)
    assert shown_in(e[1]._repr_html_()) == render.png(e.figure(1, by="methods"), dpi=90)


def test_a_notebook_shows_the_panels_pixels():
    """The photo on the left is really in it: an untouched photo of one colour."""
    one = made(methods=("gradcam",), layers=("late",))
    plain = [Image.new("RGB", (g.photo_size[1], g.photo_size[0]), (10, 200, 30)) for g in GEOMETRIES]
    one = dataclasses.replace(one, input_images=images_of(plain))
    shown = np.asarray(Image.open(io.BytesIO(shown_in(one._repr_html_()))).convert("RGB"))
    assert (shown == (10, 200, 30)).all(-1).sum() > 0.05 * shown.shape[0] * shown.shape[1]


def test_the_box_of_the_target_is_what_the_constants_say():
    """0.25 to 0.5 across and 0.25 to 0.75 down the 16×16 input, through each photo's own crop and scale."""
    for image, g in enumerate(GEOMETRIES):
        top, left = g.to_photo(16 * BOX[1], 16 * BOX[0])
        bottom, right = g.to_photo(16 * BOX[3], 16 * BOX[2])
        assert (left, top, right, bottom) == pytest.approx(BOX_ON_PHOTO[image])
