"""Figures of an explanation: the right panels with the right words, looked up in matplotlib's own objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

import camscope
from camscope.errors import InputError, read_as_options
from tests.cli.brightness import bright


def words(figure: Figure) -> list[str]:
    """Everything written on it, but the ticks."""
    return [text.get_text() for text in figure.texts] + [
        t.get_text() for axes in figure.axes for t in axes.texts
    ]


def pictures(figure: Figure) -> list[np.ndarray]:
    """The pictures in it, without the colour bar."""
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    return [picture for picture in shown if min(picture.shape[:2]) > 1 and picture.shape[-1] in (3, 4)]


def same(picture: np.ndarray, overlay: Image.Image) -> bool:
    """Whether a picture of a figure is this overlay, pixel by pixel."""
    return np.array_equal(picture[..., :3], np.asarray(overlay))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A landscape photo: red left, green right, so that neither a flip nor BGR goes unseen."""
    pixels = np.zeros((72, 144, 3), dtype=np.uint8)
    pixels[:, :72] = (200, 10, 30)
    pixels[:, 72:] = (10, 120, 30)
    return pixels


@pytest.fixture(scope="module")
def explained(photo) -> camscope.Explanation:
    return camscope.explain(bright(), photo, targets=[0, 1, "-1", "probability:2"])


@pytest.fixture(scope="module")
def several(photo) -> camscope.Explanation:
    white = photo.copy()
    white[:, 72:] = 200  # bright at the right, red at the left
    return camscope.explain(
        bright(),
        white,
        methods=["gradcam", "layercam", "eigencam"],
        layers=["cells", "seen"],
        targets=[0, 2],
        channels=3,
    )


def test_by_targets_the_photo_and_each_target_with_its_probability(explained):
    figure = explained.figure()
    assert len(pictures(figure)) == 5
    texts = words(figure)
    for word in ("Photo", "bright", "dark", "not dark", "probability of red"):
        assert word in texts
    percent = [f"{explained.probability(0, t):.1%}" for t in range(4)]
    assert {percent[0], percent[1], f"dark: {percent[2]}", percent[3]} <= set(texts)
    assert any("gradcam" in text and "seen" in text and "Bright" in text for text in texts)


def test_by_methods_rows_of_methods_and_columns_of_layers(several):
    figure = several.figure(target=1)
    assert len(pictures(figure)) == 6
    texts = words(figure)
    for word in ("gradcam", "layercam", "eigencam", "cells", "seen"):
        assert word in texts
    assert f"red · {several.probability(0, 1):.1%}" in texts


def panel_words(figure: Figure) -> list[str]:
    """What stands on and around the panels, row labels included, from left to right and top to bottom as drawn."""
    return [text.get_text().replace("\n", " ") for text in figure.texts]


def test_by_methods_every_target_has_a_row_of_each_method(several):
    """Two targets × three methods × two layers: twelve heatmaps, each the one it is labelled as."""
    figure = several.figure()
    shown = pictures(figure)
    assert len(shown) == 12
    keys = [(t, m, at) for t in range(2) for m in several.methods for at in several.layers]
    for picture, (t, method, layer) in zip(shown, keys, strict=True):
        assert same(picture, several.overlay(0, t, method, layer)), (t, method, layer)
    said = " ".join(panel_words(figure))
    for t, name in enumerate(("bright", "red")):
        assert said.count(f"{name} {several.probability(0, t):.1%}") == 6, name
    assert all(said.count(method) == 2 for method in several.methods)
    assert not np.array_equal(shown[0], shown[6])  # bright and red do differ


def test_by_methods_of_one_layer_every_target_is_a_block_with_the_photo(photo):
    e = camscope.explain(
        bright(), photo, methods=["gradcam", "layercam"], targets=["bright vs red", "red", "-0"]
    )
    figure = e.figure()
    shown = pictures(figure)
    assert len(shown) == 9
    keys = [(t, m) for t in range(3) for m in e.methods]
    heat = [picture for i, picture in enumerate(shown) if i % 3]
    assert all(same(p, e.overlay(0, t, m, "seen")) for p, (t, m) in zip(heat, keys, strict=True))
    said = " ".join(panel_words(figure))
    bright_, red = (f"{e.probability(0, t):.1%}" for t in (0, 1))
    for words_of_row in (
        f"bright vs red · bright: {bright_}",
        f"red · {red}",
        f"not bright · bright: {bright_}",
    ):
        assert words_of_row in said


def test_by_methods_one_target_is_shown_if_it_is_named(several):
    figure = several.figure(by="methods", target=1)
    heat = [several.overlay(0, 1, m, at) for m in several.methods for at in several.layers]
    assert all(same(p, h) for p, h in zip(pictures(figure), heat, strict=True))


def test_of_too_many_targets_the_first_are_shown_and_the_caption_says_so(photo):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 40)
    ).eval()
    e = camscope.explain(
        model, torch.rand(1, 3, 32, 32), methods=["gradcam", "layercam"], targets=camscope.AllClasses()
    )
    figure = e.figure(panel_inches=0.6)
    assert len(pictures(figure)) == 30 * 3
    assert "the first 30 of 40 targets: target=N shows another" in " ".join(panel_words(figure))
    assert "of 40" not in " ".join(panel_words(e.figure(target=39)))


def test_by_methods_of_one_layer_the_photo_stands_first(photo):
    e = camscope.explain(bright(), photo, methods=["gradcam", "layercam"], targets=[0])
    figure = e.figure()
    assert len(pictures(figure)) == 3
    assert {"Photo", "gradcam", "layercam"} <= set(words(figure))


def test_by_channels_the_strongest_first_with_weight_and_contribution(several):
    figure = several.figure(by="channels", layer="seen", target=0)
    kept = several.channels["seen"]
    assert len(pictures(figure)) == 4
    texts = words(figure)
    channels = [text for text in texts if text.startswith("channel ")]
    assert channels == [f"channel {int(k)}" for k in kept.index[0, 0]]
    assert channels[0] == "channel 0"  # brightness
    assert f"w {float(kept.weights[0, 0, 0]):+.3g}, adds {float(kept.contributions[0, 0, 0]):+.3g}" in texts
    assert any(text.startswith("What adds most to the score") and "bright" in text for text in texts)


def test_channels_that_were_not_kept_say_how_to_keep_them(explained):
    with pytest.raises(InputError, match="Explain with channels=16"):
        explained.figure(by="channels")
    with read_as_options({}), pytest.raises(InputError, match="Explain with --save channels"):
        explained.figure(by="channels")


def test_an_unknown_kind_names_the_nearest(explained):
    with pytest.raises(InputError, match="Did you mean 'targets'"):
        explained.figure(by="target")


def test_nineteen_labels_of_a_multi_label_model_with_their_sigmoids():
    torch.manual_seed(0)
    names = [f"find {i}" for i in range(19)]
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 19),
    ).eval()
    x = torch.rand(1, 3, 64, 64)
    e = camscope.explain(model, x, targets=camscope.AllClasses(), task="multilabel", class_names=names)
    figure = e.figure()
    assert len(pictures(figure)) == 20
    texts = words(figure)
    sigmoids = torch.sigmoid(model(x)[0]).tolist()
    assert [text for text in texts if text.startswith("find")] == names
    assert [text for text in texts if text.endswith("%")] == [f"{p:.1%}" for p in sigmoids]
    assert sum(sigmoids) > 2  # no softmax


def test_boxes_are_drawn_on_request(explained):
    plain, boxed = (explained.figure(boxes=boxes) for boxes in (False, True))
    assert sum(len(axes.patches) for axes in boxed.axes) > sum(len(axes.patches) for axes in plain.axes)


@pytest.mark.parametrize(
    ("scale", "ticks", "label"),
    [("map", {"0", "1"}, "evidence (relative)"), ("signed", {"−1", "0", "1"}, "evidence against – for"),
     ((0.0, 0.25), {"0", "0.25"}, "evidence")],
)  # fmt: skip
def test_the_colour_bar_says_what_the_colours_mean(explained, scale, ticks, label):
    figure = explained.figure(scale=scale)
    said = words(figure)
    assert ticks <= set(said)
    assert label in " ".join(said)


def test_an_overlay_has_the_photos_size_and_colours(explained, photo):
    overlay = explained.overlay(0, 0, opacity=0)
    assert (overlay.mode, overlay.size) == ("RGB", (144, 72))
    assert np.array_equal(np.asarray(overlay)[4:68, 40:104], photo[4:68, 40:104])


def test_a_signed_overlay_is_cool_against_and_warm_for(explained):
    signed = [np.asarray(explained.overlay(0, t, scale="signed", opacity=1)).astype(int) for t in (1, 2)]
    warmth = [(picture[4:68, 40:104, 0] - picture[4:68, 40:104, 2]).mean() for picture in signed]
    assert warmth[0] > 20
    assert warmth[1] < -20


def test_an_overlay_with_a_colour_bar_leaves_the_photo_as_it_was(explained):
    plain, barred = (np.asarray(explained.overlay(0, 0, colorbar=bar)) for bar in (False, True))
    assert barred.shape[1] > plain.shape[1]
    assert np.array_equal(barred[:, : plain.shape[1]], plain)


@pytest.mark.parametrize("colormap", ["jet", "magma", "viridis"])
def test_any_colour_map_by_name(explained, colormap):
    from camscope.render.colour import lut

    picture = np.asarray(explained.overlay(0, 0, opacity=1, colormap=colormap))[4:68, 40:104]
    known = {tuple(colour) for colour in np.asarray(lut(colormap)).astype(int).tolist()}
    assert {tuple(colour) for colour in picture.reshape(-1, 3).tolist()} <= known


def test_the_title_and_other_styles_can_be_said(explained):
    assert "My title" in words(explained.figure(title="My title"))


def test_each_image_of_a_batch_has_its_own_figure(photo):
    other = np.ascontiguousarray(photo[:, ::-1].transpose(1, 0, 2))
    e = camscope.explain(bright(), [photo, other], targets=[0])
    shapes = [np.asarray(e.input_image(i).picture).shape for i in range(2)]
    assert shapes == [(72, 144, 3), (144, 72, 3)]
    assert np.array_equal(np.asarray(e.input_image(1).picture), other)
    heights = [picture.shape[0] / picture.shape[1] for i in range(2) for picture in pictures(e.figure(i))]
    assert heights == pytest.approx([0.5, 0.5, 2, 2], rel=0.02)


def test_a_figure_can_be_saved(explained, tmp_path):
    from camscope import render

    render.save(explained.figure(), tmp_path / "f.png")
    assert Image.open(tmp_path / "f.png").size[0] > 500
